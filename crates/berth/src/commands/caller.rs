//! Who calls which server: what all client commands share.

use anyhow::{Context as _, bail};
use berth_domain::id::{OrganizationId, ProjectId};
use clap::Args;

use crate::client::credentials::{Credentials, Store};
use crate::client::projects::InProject;
use crate::client::sessions::{self, Me};
use crate::client::{Client, Error, Identity, organizations, projects};
use crate::output::Format;

/// The server of somebody who names none and has signed in to none.
const DEFAULT_URL: &str = "http://127.0.0.1:8080";

/// Who calls which server, about what.
#[derive(Debug, Clone, Args)]
pub(crate) struct Caller {
    /// The address of the server; else the one signed in to.
    #[arg(long, env = "BERTH_URL", global = true)]
    pub(crate) url: Option<String>,
    /// An API key to call with; else the session or key signed in with.
    #[arg(long, env = "BERTH_API_KEY", hide_env_values = true, global = true)]
    pub(crate) api_key: Option<String>,
    /// The organization, by name or id; else the one chosen at sign-in, or the only one.
    #[arg(long, env = "BERTH_ORGANIZATION", global = true)]
    pub(crate) organization: Option<String>,
    /// The project, by name or id; else the one chosen at sign-in, or the only one.
    #[arg(long, env = "BERTH_PROJECT", global = true)]
    pub(crate) project: Option<String>,
    /// The form of the answer.
    #[arg(long, value_enum, default_value_t, global = true)]
    pub(crate) output: Format,
}

impl Caller {
    /// A client that calls as whoever is signed in: as the person where there is a session, else with the key.
    pub(crate) fn client(&self) -> Result<Client, Error> {
        let store = Store::of_this_person();
        let credentials = self.credentials(&store)?;
        let identity = match (&self.api_key, credentials.session, credentials.api_key) {
            (Some(key), _, _) => Identity::Key(key.clone()),
            (None, Some(session), _) => Identity::Person(session, store),
            (None, None, Some(key)) => Identity::Key(key),
            (None, None, None) => return Err(Error::NotSignedIn),
        };
        Client::new(&credentials.url, identity)
    }

    /// A client that calls with a key, as calling models needs.
    pub(crate) fn with_key(&self) -> anyhow::Result<Client> {
        let credentials = self.credentials(&Store::of_this_person())?;
        let Some(key) = self.api_key.clone().or(credentials.api_key) else {
            bail!(
                "calling a model needs an API key: make one with `berth keys create --use`, or give --api-key"
            );
        };
        Ok(Client::new(&credentials.url, Identity::Key(key))?)
    }

    /// A client and the id of the organization that the command is about.
    pub(crate) async fn in_organization(&self) -> anyhow::Result<(Client, String)> {
        let client = self.client()?;
        let organization = self.organization_id(&client).await?;
        Ok((client, organization))
    }

    /// A client and the project that the command is about.
    pub(crate) async fn in_project(&self) -> anyhow::Result<InProject> {
        let (client, organization) = self.in_organization().await?;
        let project = self.project_id(&client, &organization).await?;
        Ok(InProject {
            client,
            organization,
            project,
        })
    }

    /// The address of the server, for commands that nobody needs to be signed in for.
    pub(crate) fn server(&self, store: &Store) -> Result<String, Error> {
        let stored = || Ok(store.read()?.map(|stored| stored.url));
        let url = self.url.clone().map_or_else(stored, |url| Ok(Some(url)))?;
        let url = url.as_deref().unwrap_or(DEFAULT_URL);
        Ok(url.trim_end_matches('/').to_owned())
    }

    pub(crate) fn credentials(&self, store: &Store) -> Result<Credentials, Error> {
        let stored = store.read()?;
        let fresh = |url: &str| Credentials {
            url: url.trim_end_matches('/').to_owned(),
            ..Credentials::default()
        };
        match (&self.url, stored) {
            // What is stored for another server is no business of this one.
            (Some(url), Some(stored)) if stored.url != url.trim_end_matches('/') => Ok(fresh(url)),
            (_, Some(stored)) => Ok(stored),
            (Some(url), None) => Ok(fresh(url)),
            (None, None) => Err(Error::NotSignedIn),
        }
    }

    async fn organization_id(&self, client: &Client) -> anyhow::Result<String> {
        let stored = self.credentials(&Store::of_this_person())?.organization;
        let wanted = self.organization.clone().or(stored);
        if let Some(id) = wanted
            .as_ref()
            .filter(|wanted| wanted.parse::<OrganizationId>().is_ok())
        {
            return Ok(id.clone());
        }
        if client.calls_with_key() && wanted.is_none() {
            return Ok(key_of(client).await?.organization_id);
        }
        let all = organizations::list(client)
            .await
            .context("looking for your organization")?
            .body;
        let named = all.into_iter().map(|one| (one.name, one.id)).collect();
        choose("organization", named, wanted.as_deref())
    }

    async fn project_id(&self, client: &Client, organization: &str) -> anyhow::Result<String> {
        let stored = self.credentials(&Store::of_this_person())?.project;
        let wanted = self.project.clone().or(stored);
        if let Some(id) = wanted
            .as_ref()
            .filter(|wanted| wanted.parse::<ProjectId>().is_ok())
        {
            return Ok(id.clone());
        }
        if client.calls_with_key() && wanted.is_none() {
            return Ok(key_of(client).await?.project_id);
        }
        let all = projects::list(client, organization)
            .await
            .context("looking for your project")?
            .body;
        let named = all.into_iter().map(|one| (one.name, one.id)).collect();
        choose("project", named, wanted.as_deref())
    }
}

async fn key_of(client: &Client) -> anyhow::Result<sessions::Key> {
    match sessions::me(client)
        .await
        .context("asking which project the key belongs to")?
        .body
    {
        Me::Key { key } => Ok(key),
        Me::Person { .. } => bail!("the server takes the key for a person"),
    }
}

/// The id of the wanted one among names and ids; of the only one when nothing is wanted.
fn choose(kind: &str, mut all: Vec<(String, String)>, wanted: Option<&str>) -> anyhow::Result<String> {
    if let Some(wanted) = wanted {
        let found = all.into_iter().find(|(name, _)| name == wanted);
        return found
            .map(|(_, id)| id)
            .with_context(|| format!("you see no {kind} `{wanted}`"));
    }
    match all.len() {
        0 => bail!("you see no {kind}"),
        1 => Ok(all.remove(0).1),
        _ => {
            let names: Vec<_> = all.into_iter().map(|(name, _)| name).collect();
            bail!(
                "you see several {kind}s: choose one with --{kind}: {}",
                names.join(", ")
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> Vec<(String, String)> {
        vec![("a".to_owned(), "1".to_owned()), ("b".to_owned(), "2".to_owned())]
    }

    #[test]
    fn the_only_one_needs_no_naming() {
        assert_eq!(
            choose("project", all()[..1].to_vec(), None).expect("there is one"),
            "1"
        );
        assert!(choose("project", Vec::new(), None).is_err());
    }

    #[test]
    fn one_of_several_is_named() {
        assert_eq!(choose("project", all(), Some("b")).expect("is there"), "2");
        assert!(choose("project", all(), Some("c")).is_err());
        let error = choose("project", all(), None).expect_err("is not clear");
        assert!(error.to_string().contains("--project: a, b"), "{error}");
    }
}
