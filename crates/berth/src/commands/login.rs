//! `berth login`, `berth logout`, `berth whoami`.

use std::io::{self, BufRead as _};

use anyhow::{Context as _, ensure};
use clap::Args;
use serde_json::json;

use super::caller::Caller;
use crate::client::credentials::{Credentials, Store};
use crate::client::sessions::{self, Me};
use crate::client::{Client, Identity, Reply};
use crate::output::{self, Format, Table};

/// Sign in to a server, as a person or with an API key.
#[derive(Debug, Args)]
pub(crate) struct LoginArguments {
    /// The e-mail address of your account.
    #[arg(long)]
    email: Option<String>,
    /// Read the password from the standard input instead of asking for it.
    #[arg(long)]
    password_stdin: bool,
    #[command(flatten)]
    caller: Caller,
}

/// Signs in.
pub(crate) async fn login(arguments: LoginArguments) -> anyhow::Result<()> {
    let LoginArguments {
        email,
        password_stdin,
        caller,
    } = arguments;
    let store = Store::of_this_person();
    let url = caller.server(&store)?;
    let mut credentials = Credentials {
        url: url.clone(),
        organization: caller.organization.clone(),
        project: caller.project.clone(),
        ..Credentials::default()
    };
    if let Some(key) = caller.api_key.clone() {
        let client = Client::new(&url, Identity::Key(key.clone()))?;
        let me = sessions::me(&client).await?;
        credentials.api_key = Some(key);
        store.write(&credentials)?;
        return greet(caller.output, me, &url);
    }
    let email = match email {
        Some(email) => email,
        None => ask_email()?,
    };
    let password = if password_stdin {
        read_password()?
    } else {
        ask_password()?
    };
    let client = Client::new(&url, Identity::Nobody)?;
    let session = sessions::sign_in(&client, &email, &password).await?;
    let client = Client::new(&url, Identity::Person(session.clone(), store.clone()))?;
    credentials.session = Some(session);
    store.write(&credentials)?;
    greet(caller.output, sessions::me(&client).await?, &url)
}

fn greet(format: Format, me: Reply<Me>, url: &str) -> anyhow::Result<()> {
    let name = match &me.body {
        Me::Person { user } => &user.email,
        Me::Key { key } => &key.api_key_id,
    };
    let mut json = me.json;
    json["url"] = url.into();
    Ok(output::tell(
        format,
        &json,
        format_args!("signed in to {url} as {name}"),
    )?)
}

pub(crate) fn ask_email() -> anyhow::Result<String> {
    ensure!(
        output::is_interactive(),
        "give --email: there is no terminal to ask at"
    );
    output::note("E-mail:");
    let mut line = String::new();
    io::stdin()
        .lock()
        .read_line(&mut line)
        .context("reading the e-mail address")?;
    Ok(line.trim().to_owned())
}

fn ask_password() -> anyhow::Result<String> {
    ensure!(
        output::is_interactive(),
        "give --password-stdin: there is no terminal to ask at"
    );
    rpassword::prompt_password("Password: ").context("reading the password")
}

/// A password from the standard input, without the line break at its end.
pub(crate) fn read_password() -> anyhow::Result<String> {
    let mut line = String::new();
    io::stdin()
        .lock()
        .read_line(&mut line)
        .context("reading the password from the standard input")?;
    let password = line.trim_end_matches(['\r', '\n']).to_owned();
    ensure!(!password.is_empty(), "the standard input holds no password");
    Ok(password)
}

/// End the session.
#[derive(Debug, Args)]
pub(crate) struct LogoutArguments {
    /// The form of the answer.
    #[arg(long, value_enum, default_value_t)]
    output: Format,
}

/// Ends the session on the server, and forgets it here.
pub(crate) async fn logout(arguments: LogoutArguments) -> anyhow::Result<()> {
    let told = |signed_out: bool, words: &str| {
        output::tell(arguments.output, &json!({ "signed_out": signed_out }), words)
    };
    let store = Store::of_this_person();
    let Some(stored) = store.read()? else {
        return Ok(told(false, "nobody was signed in")?);
    };
    let ended = match stored.session {
        Some(session) => {
            let client = Client::new(&stored.url, Identity::Person(session, store.clone()))?;
            sessions::sign_out(&client).await
        }
        None => Ok(()),
    };
    store.remove()?;
    ended.context("the session is forgotten here, but could not be ended on the server")?;
    Ok(told(true, "signed out")?)
}

/// Say who is signed in.
#[derive(Debug, Args)]
pub(crate) struct WhoamiArguments {
    #[command(flatten)]
    caller: Caller,
}

/// Says who is signed in.
pub(crate) async fn whoami(arguments: WhoamiArguments) -> anyhow::Result<()> {
    let client = arguments.caller.client()?;
    let reply = sessions::me(&client).await?;
    output::show(arguments.caller.output, &reply.json, || match &reply.body {
        Me::Person { user } => {
            Table::new(&["person", "id", "operator"]).row(&[&user.email, &user.id, &user.operator])
        }
        Me::Key { key } => Table::new(&["key", "organization", "project", "scopes"]).row(&[
            &key.api_key_id,
            &key.organization_id,
            &key.project_id,
            &key.scopes.join(", "),
        ]),
    })?;
    Ok(())
}
