//! The demo organization with a key, and the demo model: made by the API's own client, as a stranger would.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use berth_auth::accounts::BootstrapError;
use berth_auth::auth::Auth;
use berth_domain::name::Email;
use berth_domain::secret::Secret;
use berth_wire::openai::{EmbeddingInput, EmbeddingsRequest, EmbeddingsResponse, EncodingFormat};
use indicatif::ProgressBar;
use serde::{Deserialize, Serialize};
use tokio::time::sleep;

use super::state::State;
use crate::client::deployments::{NewDeployment, Share};
use crate::client::keys::NewKey;
use crate::client::models::Version;
use crate::client::packing::Package;
use crate::client::projects::InProject;
use crate::client::{Client, Error, Identity};
use crate::client::{deployments, inference, keys, models, organizations, projects, sessions};
use crate::commands::admin::made_up_password;
use crate::output;

const EMAIL: &str = "demo@berth.local";
const NAME: &str = "demo";
const FILE: &str = "demo.json";

/// The text that the demo call embeds.
pub(crate) const TEXT: &str = "A man is playing a guitar.";

/// What the demo key may do: call models, and manage them with the command line.
const SCOPES: [&str; 6] = [
    "projects.read",
    "models.read",
    "models.write",
    "deployments.read",
    "deployments.write",
    "inference.run",
];

/// How long a model may take from its upload to its first answer.
const READY_LIMIT: Duration = Duration::from_mins(10);

const PAUSE: Duration = Duration::from_millis(100);

/// The demo model that is to be served.
#[derive(Debug, Clone)]
pub(crate) struct DemoModel {
    /// Its file or folder.
    pub(crate) path: PathBuf,
    /// Its name.
    pub(crate) name: String,
}

impl DemoModel {
    /// The model at `path`, under `name` or one made of the path.
    pub(crate) fn new(path: PathBuf, name: Option<String>) -> anyhow::Result<Self> {
        let name = match name {
            Some(name) => name,
            None => Package::of(&path)?
                .suggested_name()
                .context("give the model a name with --demo-name")?,
        };
        Ok(Self { path, name })
    }
}

/// What is remembered between starts; it holds secrets.
#[derive(Clone, Default, Serialize, Deserialize)]
pub(crate) struct Demo {
    /// The account of the platform operator, who owns the demo organization.
    pub(crate) email: String,
    /// Its password.
    pub(crate) password: String,
    /// The demo organization.
    #[serde(default)]
    pub(crate) organization_id: String,
    /// The demo project.
    #[serde(default)]
    pub(crate) project_id: String,
    /// The demo key.
    #[serde(default)]
    pub(crate) api_key: String,
}

/// The answer to the demo call.
#[derive(Debug)]
pub(crate) struct Answered {
    /// The numbers.
    pub(crate) response: EmbeddingsResponse,
    /// How long it took.
    pub(crate) duration: Duration,
}

impl Demo {
    /// Makes what is missing of account, organization, project and key. Done again, it changes nothing.
    pub(crate) async fn set_up(state: &State, auth: &Auth, address: &str) -> anyhow::Result<Self> {
        let mut demo = Self::remembered(state)?;
        // The password is written down before the account is made, so that it is never lost.
        demo.remember(state)?;
        let email: Email = demo.email.parse().context("the address in demo.json")?;
        match auth.bootstrap(email, &Secret::new(&demo.password), None).await {
            Ok(_) | Err(BootstrapError::Exists) => {}
            Err(error) => return Err(error).context("making the demo account"),
        }
        if !demo.key_works(address).await? {
            let session = Client::new(address, Identity::Nobody)?;
            let session = sessions::sign_in(&session, &demo.email, &demo.password).await;
            let session = session.context("signing in to the demo account (`--reset` begins anew)")?;
            demo.make(Client::new(address, Identity::Visitor(session))?)
                .await?;
            demo.remember(state)?;
        }
        Ok(demo)
    }

    fn remembered(state: &State) -> anyhow::Result<Self> {
        let path = state.path(FILE);
        if !path.exists() {
            return Ok(Self {
                email: EMAIL.to_owned(),
                password: made_up_password(),
                ..Self::default()
            });
        }
        let text = fs::read(&path).with_context(|| format!("reading `{}`", path.display()))?;
        serde_json::from_slice(&text).with_context(|| format!("`{}` is damaged", path.display()))
    }

    fn remember(&self, state: &State) -> anyhow::Result<()> {
        state.write_private(&state.path(FILE), &serde_json::to_vec_pretty(self)?)
    }

    async fn key_works(&self, address: &str) -> Result<bool, Error> {
        if self.api_key.is_empty() {
            return Ok(false);
        }
        match sessions::me(&self.client(address)?).await {
            Ok(_) => Ok(true),
            Err(Error::Refused(refusal)) if refusal.status == 401 => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn make(&mut self, client: Client) -> anyhow::Result<()> {
        let all = organizations::list(&client).await?.body;
        let organization = match all.into_iter().find(|one| one.name == NAME) {
            Some(organization) => organization,
            None => {
                organizations::create(&client, NAME, "Demo")
                    .await
                    .context("making the demo organization")?
                    .body
            }
        };
        let all = projects::list(&client, &organization.id).await?.body;
        let project = if let Some(project) = all.into_iter().find(|one| one.name == NAME) {
            project
        } else {
            let made = projects::create(&client, &organization.id, NAME, "Demo").await;
            made.context("making the demo project")?.body
        };
        let at = InProject {
            client,
            organization: organization.id,
            project: project.id,
        };
        let key = NewKey {
            title: "Demo".to_owned(),
            scopes: SCOPES.map(str::to_owned).to_vec(),
            models: None,
            addresses: Vec::new(),
            expires_at: None,
        };
        self.api_key = keys::create(&at, &key)
            .await
            .context("making the demo key")?
            .body
            .secret;
        self.organization_id = at.organization;
        self.project_id = at.project;
        Ok(())
    }

    fn client(&self, address: &str) -> Result<Client, Error> {
        Client::new(address, Identity::Key(self.api_key.clone()))
    }

    /// Uploads and deploys the model where that has not been done, waits until it answers, and gives the answer.
    pub(crate) async fn serve(&self, address: &str, model: &DemoModel) -> anyhow::Result<Answered> {
        let at = InProject {
            client: self.client(address)?,
            organization: self.organization_id.clone(),
            project: self.project_id.clone(),
        };
        let all = deployments::list(&at).await?.body;
        if !all.iter().any(|deployment| deployment.name == model.name) {
            let version = proved_version(&at, model).await?;
            let wish = NewDeployment {
                name: model.name.clone(),
                model: model.name.clone(),
                versions: vec![Share {
                    number: version.number,
                    weight: 1,
                }],
            };
            deployments::create(&at, &wish)
                .await
                .context("deploying the demo model")?;
            output::note("deployed; waiting for a worker to load it …");
        }
        first_answer(&at.client, &model.name).await
    }
}

/// A version that is ready: the newest one, or a fresh upload.
async fn proved_version(at: &InProject, model: &DemoModel) -> anyhow::Result<Version> {
    let newest = match models::versions(at, &model.name).await {
        Ok(versions) => versions.body.into_iter().max_by_key(|version| version.number),
        Err(Error::Refused(refusal)) if refusal.status == 404 => None,
        Err(error) => return Err(error.into()),
    };
    let mut version = if let Some(version) = newest.filter(|version| version.state != "failed") {
        version
    } else {
        output::note(format_args!("uploading the model `{}` …", model.name));
        let package = Package::of(&model.path)?;
        let pushed = models::push(at, &model.name, package, ProgressBar::hidden()).await;
        pushed.context("uploading the demo model")?.body
    };
    if version.is_checking() {
        output::note("uploaded; a worker proves that it runs …");
    }
    let begin = Instant::now();
    while version.is_checking() {
        if begin.elapsed() > READY_LIMIT {
            bail!(
                "the demo model was not proved within {} minutes",
                READY_LIMIT.as_secs() / 60
            );
        }
        sleep(PAUSE).await;
        version = models::version(at, &model.name, version.number).await?.body;
    }
    if version.state != "ready" {
        bail!(
            "the demo model is {}: {}",
            version.state,
            version.reason.as_deref().unwrap_or("no reason is known")
        );
    }
    Ok(version)
}

async fn first_answer(client: &Client, model: &str) -> anyhow::Result<Answered> {
    let request = EmbeddingsRequest {
        model: model.to_owned(),
        input: EmbeddingInput::Text(TEXT.to_owned()),
        encoding_format: Some(EncodingFormat::Float),
        dimensions: None,
        user: None,
    };
    let begin = Instant::now();
    loop {
        let sent = Instant::now();
        match inference::embed(client, &request).await {
            Ok(reply) => {
                return Ok(Answered {
                    response: reply.body,
                    duration: sent.elapsed(),
                });
            }
            Err(Error::Refused(refusal)) if refusal.status == 503 && begin.elapsed() < READY_LIMIT => {
                sleep(PAUSE).await;
            }
            Err(error) => return Err(error).context("calling the demo model"),
        }
    }
}
