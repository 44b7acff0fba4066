//! `berth keys`.

use clap::{Args, Subcommand};

use super::caller::Caller;
use crate::client::credentials::Store;
use crate::client::keys::{self, ApiKey, NewKey};
use crate::output::{self, Table};

/// API keys of a project.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    action: Action,
    #[command(flatten)]
    caller: Caller,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List the keys, without their secrets.
    List,
    /// Make a key; its text is shown once.
    Create(Create),
    /// Give a key a new secret; its text is shown once.
    Rotate {
        /// The id of the key.
        id: String,
        /// For how many seconds the old secret goes on.
        #[arg(long, value_name = "SECONDS")]
        grace: Option<u64>,
    },
    /// Make a key worthless, everywhere, within a second.
    Revoke {
        /// The id of the key.
        id: String,
    },
}

#[derive(Debug, Args)]
struct Create {
    /// What the key is for.
    title: String,
    /// What the key may do, as permissions. Can be given several times.
    #[arg(long = "scope", value_name = "PERMISSION", default_value = "inference.run")]
    scopes: Vec<String>,
    /// A deployment that the key may call; without any, it may call all that its project may. Can be given several times.
    #[arg(long = "model", value_name = "NAME")]
    models: Vec<String>,
    /// A network from which the key may be used. Can be given several times.
    #[arg(long = "address", value_name = "CIDR")]
    addresses: Vec<String>,
    /// When the key ends (RFC 3339).
    #[arg(long, value_name = "TIME")]
    expires_at: Option<String>,
    /// Keep the key for `berth embed` and `berth infer`.
    #[arg(long = "use")]
    keep: bool,
}

/// Runs the command.
pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let Arguments { action, caller } = arguments;
    let at = caller.in_project().await?;
    match action {
        Action::List => {
            let reply = keys::list(&at).await?;
            output::show(caller.output, &reply.json, || table(&reply.body))?;
        }
        Action::Create(create) => {
            let keep = create.keep;
            let reply = keys::create(&at, &create.into()).await?;
            if keep {
                keep_key(&caller, &reply.body.secret)?;
            }
            output::show(caller.output, &reply.json, || {
                secret_table(&reply.body.key, &reply.body.secret)
            })?;
        }
        Action::Rotate { id, grace } => {
            let reply = keys::rotate(&at, &id, grace).await?;
            output::show(caller.output, &reply.json, || {
                secret_table(&reply.body.key, &reply.body.secret)
            })?;
        }
        Action::Revoke { id } => {
            let reply = keys::revoke(&at, &id).await?;
            output::show(caller.output, &reply.json, || {
                table(std::slice::from_ref(&reply.body))
            })?;
        }
    }
    Ok(())
}

impl From<Create> for NewKey {
    fn from(create: Create) -> Self {
        Self {
            title: create.title,
            scopes: create.scopes,
            models: (!create.models.is_empty()).then_some(create.models),
            addresses: create.addresses,
            expires_at: create.expires_at,
        }
    }
}

fn keep_key(caller: &Caller, secret: &str) -> anyhow::Result<()> {
    let store = Store::of_this_person();
    let _lock = store.lock()?;
    let mut credentials = caller.credentials(&store)?;
    credentials.api_key = Some(secret.to_owned());
    Ok(store.write(&credentials)?)
}

fn table(keys: &[ApiKey]) -> Table {
    let mut table = Table::new(&["id", "title", "state", "scopes", "models", "last used"]);
    for key in keys {
        let state = match (&key.revoked_at, &key.expires_at) {
            (Some(at), _) => format!("revoked {at}"),
            (None, Some(at)) => format!("until {at}"),
            (None, None) => "active".to_owned(),
        };
        let models = key
            .models
            .as_ref()
            .map_or_else(|| "all".to_owned(), |models| models.join(", "));
        let last_used = key.last_used_at.as_deref().unwrap_or("never");
        table.push(&[
            &key.id,
            &key.title,
            &state,
            &key.scopes.join(", "),
            &models,
            &last_used,
        ]);
    }
    table
}

fn secret_table(key: &ApiKey, secret: &str) -> Table {
    Table::new(&["id", "title", "key (shown once)"]).row(&[&key.id, &key.title, &secret])
}
