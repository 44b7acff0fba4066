//! The operators that the pinned runtime ships.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use crate::Error;
use crate::error::shown;

/// The pinned runtime.
pub static RUNTIME: LazyLock<Runtime> =
    LazyLock::new(|| Runtime::parse(include_str!("../operators/onnxruntime-1.32.0.txt")));

/// The domain of the standard operators, as it is shown; files write it as the empty text.
pub const STANDARD_DOMAIN: &str = "ai.onnx";

/// What a release of ONNX Runtime can load.
#[derive(Debug, Default)]
pub struct Runtime {
    /// Its version.
    pub version: &'static str,
    /// The newest version of the ONNX format.
    pub ir_version: i64,
    /// The newest operator set of each domain.
    pub domains: BTreeMap<&'static str, i64>,
    /// By domain and name: the operator sets that changed the operator, in order, and whether that one removed it.
    operators: BTreeMap<(&'static str, &'static str), Vec<(i64, bool)>>,
}

impl Runtime {
    fn parse(text: &'static str) -> Self {
        let mut runtime = Self::default();
        for line in text.lines() {
            let mut words = line.split(' ');
            match (words.next(), words.next(), words.next()) {
                (Some("runtime"), Some(version), _) => runtime.version = version,
                (Some("ir"), Some(version), _) => runtime.ir_version = version.parse().unwrap_or(0),
                (Some("domain"), Some(domain), Some(newest)) => {
                    runtime.domains.insert(domain, newest.parse().unwrap_or(0));
                }
                (Some("op"), Some(domain), Some(name)) => {
                    let since = words.filter_map(|word| {
                        let number = word.trim_end_matches('x');
                        Some((number.parse().ok()?, number.len() < word.len()))
                    });
                    runtime.operators.insert((domain, name), since.collect());
                }
                _ => {}
            }
        }
        runtime
    }

    /// The operator sets that a model which imports `imports` works with: for a domain that it does not name the
    /// runtime takes its newest. Fails for one that is newer than the runtime's.
    pub(crate) fn opsets(&self, imports: &BTreeMap<String, i64>) -> Result<BTreeMap<String, i64>, Error> {
        let mut opsets: BTreeMap<_, _> = self
            .domains
            .iter()
            .map(|(&domain, &newest)| (domain.to_owned(), newest))
            .collect();
        for (domain, &version) in imports {
            // A domain that the runtime does not know is fine as long as no node uses it.
            let Some(newest) = opsets.get_mut(domain) else {
                continue;
            };
            if version < 1 || version > *newest {
                return Err(Error::OpsetUnsupported {
                    domain: shown(domain).trim_matches('`').to_owned(),
                    version,
                    newest: *newest,
                    runtime: self.version,
                });
            }
            *newest = version;
        }
        Ok(opsets)
    }

    /// Judges whether the runtime ships `operator` of `domain` in that operator set.
    pub(crate) fn check(
        &self,
        opsets: &BTreeMap<String, i64>,
        domain: &str,
        operator: &str,
    ) -> Result<(), Error> {
        let unsupported = |reason: String| Error::OperatorUnsupported {
            domain: shown(domain).trim_matches('`').to_owned(),
            operator: shown(operator).trim_matches('`').to_owned(),
            reason,
            runtime: self.version,
        };
        let Some(&opset) = opsets.get(domain) else {
            let known: Vec<_> = self.domains.keys().copied().collect();
            return Err(unsupported(format!(
                "its domains are {}; write the operator with theirs, or as a function of the model",
                known.join(", ")
            )));
        };
        let Some(versions) = self.operators.get(&(domain, operator)) else {
            return Err(unsupported(
                "there is none of that name; write it with others, or as a function of the model".to_owned(),
            ));
        };
        match versions.iter().rev().find(|(since, _)| *since <= opset) {
            Some((_, false)) => Ok(()),
            Some((since, true)) => Err(unsupported(format!(
                "operator set {since} removed it, and the model uses {opset}"
            ))),
            None => Err(unsupported(format!(
                "the model uses operator set {opset}, and it came with {}",
                versions.first().map_or(0, |(since, _)| *since)
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_of_the_list_is_understood() {
        let lines = include_str!("../operators/onnxruntime-1.32.0.txt").lines();
        let operators = lines.filter(|line| line.starts_with("op ")).count();
        assert_eq!(RUNTIME.operators.len(), operators);
        assert!(RUNTIME.operators.values().all(|versions| !versions.is_empty()));
        assert!(
            RUNTIME
                .operators
                .keys()
                .all(|(domain, _)| RUNTIME.domains.contains_key(domain))
        );
        assert!(RUNTIME.ir_version >= 10 && !RUNTIME.version.is_empty());
    }

    fn verdict(opset: i64, domain: &str, operator: &str) -> Result<(), Error> {
        let imports = BTreeMap::from([(STANDARD_DOMAIN.to_owned(), opset)]);
        RUNTIME.check(&RUNTIME.opsets(&imports)?, domain, operator)
    }

    #[test]
    fn operators_are_judged_by_the_opset_of_the_model() {
        assert!(verdict(13, STANDARD_DOMAIN, "Add").is_ok());
        assert!(verdict(20, STANDARD_DOMAIN, "Gelu").is_ok());
        assert!(verdict(13, "com.microsoft", "Gelu").is_ok());
        for (opset, domain, operator, told) in [
            (13, STANDARD_DOMAIN, "Gelu", "came with 20"),
            (11, STANDARD_DOMAIN, "Upsample", "set 10 removed it"),
            (13, STANDARD_DOMAIN, "Frobnicate", "none of that name"),
            (13, "my.domain", "Add", "its domains are ai.onnx,"),
            (13, "com.microsoft", "EPContext", "none of that name"),
        ] {
            let error = verdict(opset, domain, operator).expect_err("is refused");
            assert_eq!(error.code(), Some("model_operator_unsupported"));
            assert!(error.to_string().contains(told), "{error}");
        }
        let newest = RUNTIME.domains[STANDARD_DOMAIN];
        assert!(verdict(newest, STANDARD_DOMAIN, "Add").is_ok());
        for opset in [0, -1, newest + 1] {
            let error = verdict(opset, STANDARD_DOMAIN, "Add").expect_err("is refused");
            assert_eq!(error.code(), Some("model_opset_unsupported"));
        }
    }
}
