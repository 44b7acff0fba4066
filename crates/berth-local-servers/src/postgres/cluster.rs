//! The files of a private server: where they lie and how they are made.

use std::fs::{self, File, OpenOptions};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, symlink};
use std::path::{Path, PathBuf};

use super::account::Account;
use super::installation::Installation;
use super::{SUPERUSER, lock_file};
use crate::{Error, logs};

/// The name of the cluster inside the server's home.
pub(super) const FOLDER: &str = "cluster";

/// Leads from the data folder to the home when that lies elsewhere.
const HOME_LINK: &str = "home";

/// Written last, so that a cluster whose making was interrupted is made anew.
const MARK: &str = "made";

/// A cluster that is ready to be served.
#[derive(Debug)]
pub(super) struct Cluster {
    pub(super) account: Account,
    pub(super) installation: Installation,
    pub(super) folder: PathBuf,
    pub(super) log: PathBuf,
    pub(super) password: String,
}

impl Cluster {
    /// Opens the cluster of a data folder, making it if there is none.
    pub(super) fn prepare(
        installation: Installation,
        account: Account,
        data_dir: &Path,
    ) -> Result<Self, Error> {
        let data_dir = &std::path::absolute(data_dir).map_err(Error::file("finding", data_dir))?;
        fs::create_dir_all(data_dir).map_err(Error::file("making", data_dir))?;
        let home = choose_home(account, data_dir)?;
        let installation = installation.within_reach(account, &home)?;
        let folder = home.join(FOLDER);
        let log = home.join("server.log");
        if !home.join(MARK).exists() {
            make(&installation, account, &home)?;
        }
        account.own(&folder)?;
        let password = read(&home.join("password"))?;
        let cluster = Self {
            account,
            installation,
            folder,
            log,
            password,
        };
        cluster.check_version()?;
        Ok(cluster)
    }

    /// A cluster can only be served by the major version that made it; Postgres would say so in its log, but a
    /// person who upgraded their machine deserves it as the error.
    fn check_version(&self) -> Result<(), Error> {
        let installed = self.installation.version;
        let path = self.folder.join("PG_VERSION");
        let made_by = read(&path)?;
        if made_by == installed.to_string() {
            return Ok(());
        }
        Err(Error::OtherVersion {
            path: self.folder.clone(),
            made_by,
            installed,
        })
    }
}

/// The major version that made the files of a data folder; `None` where there are none yet.
pub fn made_by(data_dir: &Path) -> Option<u32> {
    let home = home(&std::path::absolute(data_dir).ok()?);
    // Without the mark it is made anew, by whatever there is.
    let made = home.join(MARK).exists();
    made.then(|| read(&home.join(FOLDER).join("PG_VERSION")).ok()?.parse().ok())?
}

/// Where a data folder keeps its files: in itself, or where its link leads.
pub(super) fn home(data_dir: &Path) -> PathBuf {
    fs::read_link(data_dir.join(HOME_LINK)).unwrap_or_else(|_| data_dir.to_owned())
}

fn choose_home(account: Account, data_dir: &Path) -> Result<PathBuf, Error> {
    let linked = home(data_dir);
    if linked != data_dir || account.reaches(data_dir) {
        return Ok(linked);
    }
    let mut hasher = DefaultHasher::new();
    data_dir.hash(&mut hasher);
    let elsewhere = PathBuf::from(format!("/var/tmp/berth-postgres-{:016x}", hasher.finish()));
    // `create` without `recursive` fails on what is there already, so nobody else can have prepared this folder.
    match fs::DirBuilder::new().mode(0o711).create(&elsewhere) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            fs::remove_dir_all(&elsewhere).map_err(Error::file("removing", &elsewhere))?;
            fs::DirBuilder::new()
                .mode(0o711)
                .create(&elsewhere)
                .map_err(Error::file("making", &elsewhere))?;
        }
        made => made.map_err(Error::file("making", &elsewhere))?,
    }
    let link = data_dir.join(HOME_LINK);
    symlink(&elsewhere, &link).map_err(Error::file("linking", &link))?;
    Ok(elsewhere)
}

fn make(installation: &Installation, account: Account, home: &Path) -> Result<(), Error> {
    let folder = home.join(FOLDER);
    if folder.exists() {
        lock_file::take_over(&folder)?;
        fs::remove_dir_all(&folder).map_err(Error::file("removing", &folder))?;
    }
    fs::DirBuilder::new()
        .mode(0o700)
        .create(&folder)
        .map_err(Error::file("making", &folder))?;
    let password_file = home.join("password");
    write_private(&password_file, &new_password()?)?;
    account.own(&folder)?;
    account.own(&password_file)?;

    let program = installation.program("initdb");
    let (mut log, begin) = logs::open(&home.join("server.log"))?;
    let mut command = account.command(&program);
    command
        .arg("--pgdata")
        .arg(&folder)
        .args(["--username", SUPERUSER, "--encoding=UTF8", "--auth=scram-sha-256"])
        .arg("--pwfile")
        .arg(&password_file)
        // The cluster is written once and can be made again: no need to wait for the disk here.
        .arg("--no-sync");
    if installation.version >= 17 {
        command.args([
            "--locale-provider=builtin",
            "--builtin-locale=C.UTF-8",
            "--locale=C",
        ]);
    } else {
        command.arg("--locale=C.UTF-8");
    }
    let output = command.output().map_err(Error::run(&program))?;
    log.write_all(&output.stdout)
        .and_then(|()| log.write_all(&output.stderr))
        .map_err(Error::file("writing", &home.join("server.log")))?;
    if !output.status.success() {
        let output_text = logs::tail(&home.join("server.log"), begin);
        return Err(Error::Refused {
            program,
            status: output.status,
            output: output_text,
        });
    }
    let mark = home.join(MARK);
    File::create(&mark).map_err(Error::file("writing", &mark))?;
    Ok(())
}

/// 192 random bits in hexadecimal, straight from the kernel: this guards a server that listens on loopback only, and
/// no rule of the product depends on it, so the product's source of randomness is not needed here.
fn new_password() -> Result<String, Error> {
    let source = Path::new("/dev/urandom");
    let mut bytes = [0_u8; 24];
    File::open(source)
        .and_then(|mut file| file.read_exact(&mut bytes))
        .map_err(Error::file("reading", source))?;
    Ok(bytes
        .iter()
        .fold(String::new(), |text, byte| text + &format!("{byte:02x}")))
}

fn write_private(path: &Path, text: &str) -> Result<(), Error> {
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .map_err(Error::file("writing", path))
}

fn read(path: &Path) -> Result<String, Error> {
    Ok(fs::read_to_string(path)
        .map_err(Error::file("reading", path))?
        .trim()
        .to_owned())
}
