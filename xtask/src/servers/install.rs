//! Installs programs that are missing, where that is possible.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
use berth_local_servers::postgres::Installation;
use berth_local_servers::{find_program, rabbitmq};

use crate::command;

/// Asked by Debian's packages before they start a service.
const SERVICE_POLICY: &str = "/usr/sbin/policy-rc.d";

/// A program that has to be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    Postgres,
    Redis,
    RabbitMq,
    /// A browser and the program that drives it.
    Browser,
}

impl Need {
    fn is_met(self) -> bool {
        match self {
            Self::Postgres => Installation::find(None).is_ok() && find_program("psql").is_some(),
            Self::Redis => find_program("redis-server").is_some(),
            Self::RabbitMq => rabbitmq::is_installed(),
            Self::Browser => find_program("chromium").is_some() && find_program("chromedriver").is_some(),
        }
    }

    /// The Debian packages that meet it.
    fn packages(self) -> &'static [&'static str] {
        match self {
            Self::Postgres => &["postgresql"],
            Self::Redis => &["redis-server"],
            Self::RabbitMq => &["rabbitmq-server"],
            Self::Browser => &["chromium", "chromium-driver"],
        }
    }

    /// The variable that names a server in its stead.
    fn variable(self) -> Option<&'static str> {
        match self {
            Self::Postgres => Some(super::DATABASE_URL),
            Self::Redis => Some(super::REDIS_URL),
            Self::RabbitMq => Some(super::AMQP_URL),
            Self::Browser => None,
        }
    }
}

/// Installs what is missing with apt as root on Debian; elsewhere fails and says what to install.
pub(crate) fn ensure(needs: &[Need]) -> Result<()> {
    let needs: Vec<Need> = needs.iter().copied().filter(|need| !need.is_met()).collect();
    let needs = needs.as_slice();
    let packages = packages_of(needs);
    if packages.is_empty() {
        return Ok(());
    }
    let may_install = rustix::process::geteuid().is_root() && find_program("apt-get").is_some();
    if !may_install {
        bail!("{}", advice(needs));
    }
    eprintln!("Installing {}", packages.join(", "));
    let guard = ServiceGuard::raise()?;
    apt(&["update"])?;
    let mut arguments = vec!["install", "-y", "--no-install-recommends"];
    arguments.extend(&packages);
    apt(&arguments)?;
    drop(guard);
    let still_missing: Vec<Need> = needs.iter().copied().filter(|need| !need.is_met()).collect();
    if !still_missing.is_empty() {
        bail!(
            "installed {}, but it is not found; {}",
            packages_of(&still_missing).join(", "),
            advice(&still_missing)
        );
    }
    Ok(())
}

fn packages_of(needs: &[Need]) -> Vec<&'static str> {
    needs.iter().flat_map(|need| need.packages()).copied().collect()
}

/// What somebody can do about what is missing. A server may also run elsewhere; a browser has to be here.
fn advice(missing: &[Need]) -> String {
    let packages = packages_of(missing);
    let variables: Vec<_> = missing.iter().filter_map(|need| need.variable()).collect();
    let elsewhere = if variables.is_empty() {
        String::new()
    } else {
        format!(
            "; or name a server that runs already, in {}",
            variables.join(" and ")
        )
    };
    format!(
        "install what is missing and try again: {} (Debian: `sudo apt-get install {}`; no service need run){elsewhere}",
        packages.join(", "),
        packages.join(" "),
    )
}

fn apt(arguments: &[&str]) -> Result<()> {
    command::output(
        Command::new("apt-get")
            .args(["-qq", "-o", "DPkg::Lock::Timeout=600"])
            .args(arguments)
            .env("DEBIAN_FRONTEND", "noninteractive"),
    )?;
    Ok(())
}

/// Keeps newly installed packages from starting their services, as long as it lives.
struct ServiceGuard {
    is_mine: bool,
}

impl ServiceGuard {
    fn raise() -> Result<Self> {
        let made = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o755)
            .open(SERVICE_POLICY);
        match made {
            Ok(mut file) => {
                let guard = Self { is_mine: true };
                // 101 is "forbidden by policy".
                file.write_all(b"#!/bin/sh\nexit 101\n")
                    .context("writing the service policy")?;
                Ok(guard)
            }
            // A machine with a policy of its own, such as a container image, keeps it.
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(Self { is_mine: false }),
            Err(error) => Err(error).with_context(|| format!("writing `{SERVICE_POLICY}`")),
        }
    }
}

impl Drop for ServiceGuard {
    fn drop(&mut self) {
        if self.is_mine
            && let Err(error) = fs::remove_file(Path::new(SERVICE_POLICY))
        {
            eprintln!("`{SERVICE_POLICY}` could not be removed: {error}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_advice_names_packages_and_variables() {
        let text = advice(&[Need::Redis, Need::RabbitMq]);
        assert!(
            text.contains("apt-get install redis-server rabbitmq-server"),
            "{text}"
        );
        assert!(
            text.contains("BERTH_TEST_REDIS_URL and BERTH_TEST_AMQP_URL"),
            "{text}"
        );
        assert!(!text.contains("BERTH_TEST_DATABASE_URL"), "{text}");
    }

    #[test]
    fn no_server_stands_in_for_a_browser() {
        let text = advice(&[Need::Browser]);
        assert!(
            text.contains("apt-get install chromium chromium-driver"),
            "{text}"
        );
        assert!(!text.contains("BERTH_TEST"), "{text}");
    }
}
