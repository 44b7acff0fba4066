//! Projects of an organization.

use berth_domain::access::{Access, Caller, ProjectAccess, can};
use berth_domain::id::{OrganizationId, ProjectId};
use berth_domain::name::{Handle, Title};
use berth_domain::permission::Permission;
use berth_store::Tx;
use berth_store::idempotency_keys::Keep;
use berth_store::page::{List, Page};
use berth_store::projects::{self, NewProject, Project, ProjectChange};

use crate::auth::Auth;

/// The most origins that a project lists.
const MAX_ORIGINS: usize = 50;

/// The most bytes of an origin.
const MAX_ORIGIN_LENGTH: usize = 255;

/// Why a project was not made, read or changed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such project any more.
    #[error("there is no such project")]
    NotFound,
    /// Another project of the organization has the name: choose another.
    #[error("there is a project of that name already")]
    NameTaken,
    /// A text is no origin: correct it.
    #[error("an origin is `*` or `scheme://host` with an optional port, without a path: `{0}` is none")]
    Origin(String),
    /// Too many origins: shorten the list.
    #[error("a project lists at most {MAX_ORIGINS} origins")]
    TooManyOrigins,
    /// The database cannot be asked at the moment: try again.
    #[error("could not read or write projects")]
    Store(#[source] berth_store::Error),
}

impl From<berth_store::Error> for Error {
    fn from(error: berth_store::Error) -> Self {
        match error.constraint() {
            Some(projects::NAME_TAKEN) => Self::NameTaken,
            _ => Self::Store(error),
        }
    }
}

/// A project that is wanted.
#[derive(Debug, Clone)]
pub struct ProjectWish {
    /// What stands in addresses; no two projects of an organization have the same.
    pub name: Handle,
    /// What people read.
    pub title: Title,
    /// The origins whose pages may call with the project's keys.
    pub cors_origins: Vec<String>,
}

impl Auth {
    /// Makes a project.
    pub async fn create_project(
        &self,
        access: &Access<can::ProjectsManage>,
        wish: ProjectWish,
        keep: &Keep<'_, Project>,
    ) -> Result<Project, Error> {
        check_origins(&wish.cors_origins)?;
        let organization = access.organization();
        let project = NewProject {
            id: ProjectId::new(self.clock(), self.random()),
            name: wish.name,
            title: wish.title,
            cors_origins: wish.cors_origins,
            created_at: self.now(),
        };
        let mut tx = self.store().tenant(organization).await?;
        tx.projects().insert(organization, &project).await?;
        let made = found(&mut tx, organization, project.id).await?;
        keep.write(&mut tx, &made).await?;
        tx.commit().await?;
        Ok(made)
    }

    /// The projects that the caller may see: all of them, or those that they are a member of.
    pub async fn list_projects(
        &self,
        access: &Access<can::OrganizationRead>,
        page: &Page<ProjectId>,
    ) -> Result<List<Project>, Error> {
        let organization = access.organization();
        let mut tx = self.store().tenant(organization).await?;
        if access.permissions().contains(Permission::ProjectsRead) {
            return Ok(tx.projects().list(organization, page).await?);
        }
        match access.caller() {
            Caller::Person(person) => Ok(tx
                .projects()
                .list_of_user(organization, person.user, page)
                .await?),
            Caller::Key(_) => Ok(List {
                items: Vec::new(),
                has_more: false,
            }),
        }
    }

    /// One project.
    pub async fn show_project(&self, access: &ProjectAccess<can::ProjectsRead>) -> Result<Project, Error> {
        let mut tx = self.store().tenant(access.organization()).await?;
        found(&mut tx, access.organization(), access.project()).await
    }

    /// Changes a project; what is `None` stays.
    pub async fn update_project(
        &self,
        access: &ProjectAccess<can::ProjectsManage>,
        change: &ProjectChange,
    ) -> Result<Project, Error> {
        if let Some(origins) = &change.cors_origins {
            check_origins(origins)?;
        }
        let (organization, project) = (access.organization(), access.project());
        let mut tx = self.store().tenant(organization).await?;
        if !tx.projects().update(organization, project, change).await? {
            return Err(Error::NotFound);
        }
        let changed = found(&mut tx, organization, project).await?;
        if change.cors_origins.is_some() {
            self.commit_and_announce_all(tx).await?;
        } else {
            tx.commit().await?;
        }
        Ok(changed)
    }

    /// Suspends a project: its keys stop within a second, and only reading goes on. Done again, it changes nothing.
    pub async fn suspend_project(
        &self,
        access: &ProjectAccess<can::ProjectsManage>,
    ) -> Result<Project, Error> {
        let (organization, project) = (access.organization(), access.project());
        let mut tx = self.store().tenant(organization).await?;
        tx.projects().suspend(organization, project, self.now()).await?;
        let suspended = found(&mut tx, organization, project).await?;
        self.commit_and_announce_all(tx).await?;
        Ok(suspended)
    }

    /// Resumes a project. Done again, it changes nothing.
    pub async fn resume_project(
        &self,
        access: &ProjectAccess<can::ProjectsManage>,
    ) -> Result<Project, Error> {
        let (organization, project) = (access.organization(), access.project());
        let mut tx = self.store().tenant(organization).await?;
        tx.projects().resume(organization, project).await?;
        let resumed = found(&mut tx, organization, project).await?;
        self.commit_and_announce_all(tx).await?;
        Ok(resumed)
    }

    /// Deletes a project: its keys stop within a second, nothing of it is found any more, and its name is free. What
    /// concerns money stays.
    pub async fn delete_project(&self, access: &ProjectAccess<can::ProjectsManage>) -> Result<(), Error> {
        let (organization, project) = (access.organization(), access.project());
        let mut tx = self.store().tenant(organization).await?;
        if !tx.projects().delete(organization, project, self.now()).await? {
            return Err(Error::NotFound);
        }
        self.commit_and_announce_all(tx).await?;
        Ok(())
    }
}

/// The project, unless it was deleted.
async fn found(tx: &mut Tx, organization: OrganizationId, project: ProjectId) -> Result<Project, Error> {
    tx.projects()
        .show(organization, project)
        .await?
        .filter(|found| found.deleted_at.is_none())
        .ok_or(Error::NotFound)
}

fn check_origins(origins: &[String]) -> Result<(), Error> {
    if origins.len() > MAX_ORIGINS {
        return Err(Error::TooManyOrigins);
    }
    match origins.iter().find(|origin| !is_origin(origin)) {
        Some(origin) => Err(Error::Origin(origin.chars().take(MAX_ORIGIN_LENGTH).collect())),
        None => Ok(()),
    }
}

/// Whether `text` is `*` or an origin in the form in which browsers send it (RFC 6454, section 6.2).
fn is_origin(text: &str) -> bool {
    if text == "*" {
        return true;
    }
    let Some((scheme, place)) = text.split_once("://") else {
        return false;
    };
    let scheme_fits = scheme.starts_with(|c: char| c.is_ascii_lowercase())
        && scheme
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'+' | b'-' | b'.'));
    let (host, port) = match place.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (place, None),
    };
    let host_fits = match host.strip_prefix('[').and_then(|inner| inner.strip_suffix(']')) {
        Some(inner) => inner.parse::<std::net::Ipv6Addr>().is_ok(),
        None => {
            !host.is_empty()
                && host
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'.' | b'_'))
        }
    };
    let port_fits = port.is_none_or(|port| {
        !port.starts_with('0') && port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok()
    });
    text.len() <= MAX_ORIGIN_LENGTH && scheme_fits && host_fits && port_fits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_in_the_form_in_which_browsers_send_them() {
        for good in [
            "*",
            "https://app.example",
            "http://localhost:3000",
            "http://[::1]:8080",
            "http://[2001:db8::1]",
            "chrome-extension://abcdefgh",
        ] {
            assert!(is_origin(good), "{good:?}");
        }
        for bad in [
            "",
            "null",
            "app.example",
            "https://",
            "https://App.example",
            "HTTPS://app.example",
            "https://app.example/",
            "https://app.example/path",
            "https://user@app.example",
            "https://app.example:",
            "https://app.example:99999",
            "https://app.example:080",
            "https://*.example",
            "https://app.example\r\nx: y",
            "https://[::g]",
            "1http://x",
        ] {
            assert!(!is_origin(bad), "{bad:?}");
        }
    }

    #[test]
    fn list_of_origins_is_bounded() {
        let origins = vec!["https://app.example".to_owned(); MAX_ORIGINS + 1];
        assert!(matches!(check_origins(&origins), Err(Error::TooManyOrigins)));
        assert!(check_origins(&origins[1..]).is_ok());
    }
}
