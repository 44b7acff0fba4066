//! What letters say. Plain text: it is read everywhere, and nothing in it can be mistaken for markup.

use berth_auth::letters::{Letter, LetterSubject};

/// The subject line.
pub(super) fn subject(subject: &LetterSubject) -> String {
    match subject {
        LetterSubject::Invitation { organization, .. } => {
            format!("You are invited to {organization} on Berth")
        }
        LetterSubject::ForgottenPassword => "Set a new password for Berth".to_owned(),
        LetterSubject::FirstPassword => "Set your password for Berth".to_owned(),
    }
}

/// The letter itself. There is no page yet that could take the code, so it says which request does.
pub(super) fn body(letter: &Letter, public_url: &str) -> String {
    let code = letter.token.expose();
    let until = letter.expires_at.format("%Y-%m-%d %H:%M UTC");
    let email = &letter.to;
    match &letter.subject {
        LetterSubject::Invitation {
            organization,
            project,
            invited_by,
        } => {
            let who = invited_by.as_deref().unwrap_or("Somebody");
            let project = project
                .as_ref()
                .map(|project| format!(" (project {project})"))
                .unwrap_or_default();
            format!(
                "Hello,\n\n\
                 {who} invites you to {organization}{project} on Berth at {public_url}.\n\n\
                 Your code, good for {email} until {until}:\n\n    {code}\n\n\
                 Without an account, make one with it:\n\n    \
                 curl {public_url}/api/v1/auth/sign-up -H 'Content-Type: application/json' \\\n      \
                 -d '{{\"email\": \"{email}\", \"password\": \"...\", \"invitation\": \"{code}\"}}'\n\n\
                 With an account, sign in and accept:\n\n    \
                 curl {public_url}/api/v1/auth/invitations/accept -H 'Content-Type: application/json' \\\n      \
                 -H 'Authorization: Bearer ...' -d '{{\"token\": \"{code}\"}}'\n\n\
                 {public_url}/docs lets you do the same in a browser.\n\n\
                 If you do not know what this is about, do nothing: the code ends by itself.\n"
            )
        }
        LetterSubject::ForgottenPassword | LetterSubject::FirstPassword => {
            let why = match letter.subject {
                LetterSubject::ForgottenPassword => {
                    "Somebody, hopefully you, asked to set a new password for"
                }
                _ => "An account was made for you on",
            };
            format!(
                "Hello,\n\n\
                 {why} Berth at {public_url} ({email}).\n\n\
                 Your code, good once until {until}:\n\n    {code}\n\n\
                 Set the password with it:\n\n    \
                 berth password reset --url {public_url}\n\n\
                 Without that program:\n\n    \
                 curl {public_url}/api/v1/auth/password-resets/confirm -H 'Content-Type: application/json' \\\n      \
                 -d '{{\"token\": \"{code}\", \"new_password\": \"...\"}}'\n\n\
                 {public_url}/docs lets you do the same in a browser.\n\n\
                 If you did not ask for it, do nothing: nothing changes, and the code ends by itself.\n"
            )
        }
    }
}
