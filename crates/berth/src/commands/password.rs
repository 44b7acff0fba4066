//! `berth password`: changing it, and setting a forgotten one anew.

use anyhow::{Context as _, ensure};
use clap::{Args, Subcommand};
use serde_json::json;

use super::caller::Caller;
use super::login::{ask_email, read_password};
use crate::client::credentials::Store;
use crate::client::{Client, Identity, sessions};
use crate::output;

/// Change your password, or set a forgotten one anew.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    action: Action,
    #[command(flatten)]
    caller: Caller,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Change the password of whoever is signed in. All other sessions of the account end.
    Change {
        /// Read the present and the new password from the standard input, one a line, instead of asking for them.
        #[arg(long)]
        password_stdin: bool,
    },
    /// Ask for a mail with a one-time token, for a password that was forgotten.
    Forgot {
        /// The e-mail address of the account.
        #[arg(long)]
        email: Option<String>,
    },
    /// Set a password by a one-time token, out of a mail or from an operator. All sessions of the account end.
    Reset {
        /// The token; else it is asked for.
        #[arg(long)]
        token: Option<String>,
        /// Read the new password from the standard input instead of asking for it.
        #[arg(long)]
        password_stdin: bool,
    },
}

/// Runs the command.
pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let Arguments { action, caller } = arguments;
    match action {
        Action::Change { password_stdin } => {
            let client = caller.client()?;
            ensure!(
                !client.calls_with_key(),
                "a key has no password: sign in as a person with `berth login`"
            );
            let (present, new) = if password_stdin {
                (read_password()?, read_password()?)
            } else {
                (ask("Present password: ")?, ask_new()?)
            };
            sessions::change_password(&client, &present, &new).await?;
            output::tell(
                caller.output,
                &json!({ "changed": true }),
                "the password is changed",
            )?;
        }
        Action::Forgot { email } => {
            let email = email.map_or_else(ask_email, Ok)?;
            sessions::forgot_password(&nobody(&caller)?, &email).await?;
            let json = json!({ "email": email, "accepted": true });
            output::tell(
                caller.output,
                &json,
                format_args!(
                    "if `{email}` has an account and this installation sends mail, a token is on its way; else an operator makes one"
                ),
            )?;
        }
        Action::Reset {
            token,
            password_stdin,
        } => {
            let token = token.map_or_else(|| ask("Token: "), Ok)?;
            let new = if password_stdin {
                read_password()?
            } else {
                ask_new()?
            };
            sessions::reset_password(&nobody(&caller)?, token.trim(), &new).await?;
            output::tell(
                caller.output,
                &json!({ "set": true }),
                "the password is set: sign in with `berth login`",
            )?;
        }
    }
    Ok(())
}

/// A client of the server that the command is about, before anybody is signed in.
fn nobody(caller: &Caller) -> anyhow::Result<Client> {
    let url = caller.server(&Store::of_this_person())?;
    Ok(Client::new(&url, Identity::Nobody)?)
}

fn ask(question: &str) -> anyhow::Result<String> {
    ensure!(
        output::is_interactive(),
        "there is no terminal to ask at: see --help for other ways"
    );
    rpassword::prompt_password(question).context("reading what was typed")
}

/// A new password, typed twice.
fn ask_new() -> anyhow::Result<String> {
    let new = ask("New password: ")?;
    ensure!(
        ask("The same again: ")? == new,
        "the two passwords are not the same"
    );
    Ok(new)
}
