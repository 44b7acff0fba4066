//! The query data of the store: what the database says about every statement, so that the crate compiles without one.

use std::collections::BTreeMap;
use std::env;
use std::ffi::OsString;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::SystemTime;

use anyhow::{Context, Result, bail};
use berth_local_servers::find_program;

use crate::servers::{self, install};
use crate::{command, repository};

/// The role that owns the tables, as in production.
const OWNER: &str = "berth_owner";

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Change nothing; fail when the committed data differs.
    #[arg(long)]
    pub(crate) check: bool,
}

/// `cargo xtask sqlx`.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let crate_folder = repository::root().join("crates/berth-store");
    let committed = crate_folder.join(".sqlx");
    let fresh = tempfile::tempdir().context("making a temporary folder")?;
    let compiled = with_migrated_database(|url| describe(&crate_folder, url, fresh.path()));
    let (old, new) = (read(&committed)?, read(fresh.path())?);
    if let Err(error) = compiled {
        // What was described before the error helps whoever is in the middle of writing queries.
        if !arguments.check {
            write(&committed, &BTreeMap::new(), &new)?;
        }
        return Err(error);
    }
    let (missing, outdated) = (difference(&new, &old), difference(&old, &new));
    if missing.is_empty() && outdated.is_empty() {
        println!("The query data is fresh: {} queries.", new.len());
        return Ok(());
    }
    if arguments.check {
        bail!(
            "`{}` is not fresh ({} missing or different, {} no longer used): run `cargo xtask sqlx`",
            committed.display(),
            missing.len(),
            outdated.len()
        );
    }
    write(&committed, &old, &new)?;
    println!(
        "Query data: {} queries, {} written, {} removed.",
        new.len(),
        missing.len(),
        outdated.len()
    );
    Ok(())
}

type Files = BTreeMap<OsString, Vec<u8>>;

/// Files of the first that are not the same in the second.
fn difference<'a>(first: &'a Files, second: &Files) -> Vec<&'a OsString> {
    first
        .iter()
        .filter(|(name, bytes)| second.get(*name) != Some(bytes))
        .map(|(name, _)| name)
        .collect()
}

fn read(folder: &Path) -> Result<Files> {
    let mut files = Files::new();
    if !folder.exists() {
        return Ok(files);
    }
    for entry in fs::read_dir(folder).with_context(|| format!("reading `{}`", folder.display()))? {
        let path = entry?.path();
        let is_data = path.extension().is_some_and(|extension| extension == "json");
        if let Some(name) = path.file_name().filter(|_| is_data) {
            let bytes = fs::read(&path).with_context(|| format!("reading `{}`", path.display()))?;
            files.insert(name.to_owned(), bytes);
        }
    }
    Ok(files)
}

fn write(folder: &Path, old: &Files, new: &Files) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("making `{}`", folder.display()))?;
    for name in old.keys().filter(|name| !new.contains_key(*name)) {
        let path = folder.join(name);
        fs::remove_file(&path).with_context(|| format!("removing `{}`", path.display()))?;
    }
    for (name, bytes) in new.iter().filter(|(name, bytes)| old.get(*name) != Some(bytes)) {
        let path = folder.join(name);
        fs::write(&path, bytes).with_context(|| format!("writing `{}`", path.display()))?;
    }
    Ok(())
}

/// Compiles the store against the database; its macros write what they learn into `data`.
fn describe(crate_folder: &Path, url: &str, data: &Path) -> Result<()> {
    // Macros are only expanded when cargo sees a change.
    let root_module = crate_folder.join("src/lib.rs");
    #[expect(
        clippy::disallowed_methods,
        reason = "cargo compares the time of files with the system's clock"
    )]
    let now = SystemTime::now();
    File::options()
        .append(true)
        .open(&root_module)
        .and_then(|file| file.set_modified(now))
        .with_context(|| format!("touching `{}`", root_module.display()))?;
    command::run(
        command::cargo()
            .args(["check", "--quiet", "-p", "berth-store", "--all-targets"])
            .env("DATABASE_URL", url)
            .env("SQLX_OFFLINE", "false")
            .env("SQLX_OFFLINE_DIR", data),
    )
    .context("compiling the store against a migrated database")
}

/// Runs `work` with the URL of a fresh database that has all migrations, on the server of the tests if the
/// environment names one, else on a private server.
fn with_migrated_database(work: impl FnOnce(&str) -> Result<()>) -> Result<()> {
    let given = env::var(servers::DATABASE_URL).ok().filter(|url| !url.is_empty());
    let folder = servers::temporary_folder()?;
    let (admin_url, server) = if let Some(url) = given {
        (url, None)
    } else {
        install::ensure(&[install::Need::Postgres])?;
        let (url, server) = servers::start_postgres(None, &folder.path().join("postgres"))?;
        (url, Some(server))
    };
    let database = format!("berth_describe_{}", std::process::id());
    let psql = find_program("psql")
        .context("`psql` is not installed (Debian: `apt-get install postgresql-client`)")?;
    let admin = Psql {
        program: psql,
        url: admin_url,
    };
    admin.say(&format!("CREATE DATABASE {database}"))?;
    let result = migrate_and(&admin, &database, work);
    admin.say(&format!("DROP DATABASE {database} WITH (FORCE)"))?;
    if let Some(server) = server {
        server.stop()?;
    }
    result
}

fn migrate_and(admin: &Psql, database: &str, work: impl FnOnce(&str) -> Result<()>) -> Result<()> {
    let (head, query) = admin.url.split_once('?').unwrap_or((&admin.url, ""));
    let server = head
        .rsplit_once('/')
        .filter(|(before, _)| !before.ends_with('/'))
        .map_or(head, |(server, _)| server);
    let separator = if query.is_empty() { "" } else { "?" };
    let inside = Psql {
        program: admin.program.clone(),
        url: format!("{server}/{database}{separator}{query}"),
    };
    inside.say(&format!(
        "DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{OWNER}') THEN
             CREATE ROLE {OWNER} LOGIN NOSUPERUSER NOBYPASSRLS CREATEROLE; END IF; END $$"
    ))?;
    inside.say(&format!("ALTER DATABASE {database} OWNER TO {OWNER}"))?;
    for migration in migrations()? {
        inside.run_file(&migration)?;
    }
    work(&inside.url)
}

/// The migrations in order. Their numbers have leading zeros.
fn migrations() -> Result<Vec<PathBuf>> {
    let folder = repository::root().join("migrations");
    let mut files: Vec<PathBuf> = fs::read_dir(&folder)
        .with_context(|| format!("reading `{}`", folder.display()))?
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<_>>()?;
    files.retain(|path| path.extension().is_some_and(|extension| extension == "sql"));
    files.sort();
    Ok(files)
}

struct Psql {
    program: PathBuf,
    url: String,
}

impl Psql {
    fn say(&self, statement: &str) -> Result<()> {
        command::output(self.command().args(["--command", statement]))?;
        Ok(())
    }

    /// Runs a file as the owner, so that the owner has what it makes. A file runs as one transaction, unless its
    /// first line says what sqlx takes for the opposite.
    fn run_file(&self, path: &Path) -> Result<()> {
        let text = fs::read_to_string(path).with_context(|| format!("reading `{}`", path.display()))?;
        let mut command = self.command();
        if !text.starts_with("-- no-transaction") {
            command.arg("--single-transaction");
        }
        command
            .args(["--command", &format!("SET ROLE {OWNER}")])
            .arg("--file")
            .arg(path);
        command::output(&mut command).with_context(|| format!("applying `{}`", path.display()))?;
        Ok(())
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command
            .args([
                "--no-psqlrc",
                "--no-password",
                "--quiet",
                "--set=ON_ERROR_STOP=1",
                "--dbname",
            ])
            .arg(&self.url)
            .stdin(Stdio::null());
        command
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(entries: &[(&str, &str)]) -> Files {
        entries
            .iter()
            .map(|(name, text)| (OsString::from(name), text.as_bytes().to_vec()))
            .collect()
    }

    #[test]
    fn a_missing_changed_or_left_over_file_is_a_difference() {
        let committed = files(&[("same", "1"), ("changed", "1"), ("left over", "1")]);
        let fresh = files(&[("same", "1"), ("changed", "2"), ("missing", "1")]);
        assert_eq!(difference(&fresh, &committed), ["changed", "missing"]);
        assert_eq!(difference(&committed, &fresh), ["changed", "left over"]);
    }

    #[test]
    fn writing_leaves_exactly_the_new_files() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let old = files(&[("a.json", "1"), ("b.json", "1")]);
        write(folder.path(), &Files::new(), &old).expect("is written");
        let new = files(&[("b.json", "2"), ("c.json", "1")]);
        write(folder.path(), &read(folder.path()).expect("is read"), &new).expect("is written");
        assert_eq!(read(folder.path()).expect("is read"), new);
    }
}
