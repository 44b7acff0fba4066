//! Which files can be reached: Landlock.

use std::path::PathBuf;

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, LandlockStatus, PathFd, Ruleset,
    RulesetAttr, RulesetCreated, RulesetCreatedAttr, RulesetStatus, Scope,
};

use crate::{Error, Sandbox};

/// The newest interface that this crate was tested with. An older kernel enforces the part it knows; what later ones
/// add (named Unix sockets, UDP) is closed by the system call filter anyway.
const NEWEST: ABI = ABI::V7;

/// Rules that are ready to be put in force.
pub(crate) struct Rules(RulesetCreated);

/// What Landlock enforces.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Landlock {
    pub(crate) abi: u32,
    pub(crate) complete: bool,
}

/// Rules under which only these paths can be opened, nothing can be executed, no TCP port can be used, and neither
/// signals nor abstract sockets reach outside.
pub(crate) fn rules(sandbox: &Sandbox) -> Result<Rules, Error> {
    let readable = AccessFs::ReadFile | AccessFs::ReadDir;
    // Devices and sockets are not made by anything that lives in here.
    let writable = readable
        | AccessFs::WriteFile
        | AccessFs::Truncate
        | AccessFs::MakeReg
        | AccessFs::MakeDir
        | AccessFs::RemoveFile
        | AccessFs::RemoveDir
        | AccessFs::Refer;
    let usable = AccessFs::ReadFile | AccessFs::WriteFile | AccessFs::IoctlDev;
    let mut ruleset = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(NEWEST))
        .and_then(|rules| rules.handle_access(AccessNet::from_all(NEWEST)))
        .and_then(|rules| rules.scope(Scope::from_all(NEWEST)))
        .and_then(Ruleset::create)
        .map_err(Error::Landlock)?;
    for (paths, access) in [
        (&sandbox.read_only, readable),
        (&sandbox.read_write, writable),
        (&sandbox.devices, usable),
    ] {
        for path in paths {
            ruleset = allow(ruleset, path, access)?;
        }
    }
    Ok(Rules(ruleset))
}

fn allow(
    ruleset: RulesetCreated,
    path: &PathBuf,
    access: BitFlags<AccessFs>,
) -> Result<RulesetCreated, Error> {
    // `path_beneath_rules` below skips what it cannot open; a path that was asked for and is missing is an error here.
    PathFd::new(path).map_err(|source| Error::Path {
        path: path.clone(),
        source,
    })?;
    ruleset
        .add_rules(landlock::path_beneath_rules([path], access))
        .map_err(Error::Landlock)
}

impl Rules {
    /// Puts the rules in force; `None` when the kernel has no Landlock.
    pub(crate) fn restrict(self) -> Result<Option<Landlock>, Error> {
        let status = self.0.restrict_self().map_err(Error::Landlock)?;
        let abi = match status.landlock {
            LandlockStatus::Available { effective_abi, .. } => effective_abi.to_string().parse().unwrap_or(1),
            LandlockStatus::NotEnabled | LandlockStatus::NotImplemented => return Ok(None),
        };
        Ok(match status.ruleset {
            RulesetStatus::NotEnforced => None,
            enforced => Some(Landlock {
                abi,
                complete: enforced == RulesetStatus::FullyEnforced,
            }),
        })
    }
}
