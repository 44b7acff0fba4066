//! What became of the tests.

use std::fs;
use std::io::{self, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result};
use quick_xml::events::{BytesStart, Event};
use quick_xml::{Reader, XmlVersion};

use crate::{interrupt, repository};

/// How many of the slowest tests are shown.
const SHOWN: usize = 20;

/// The counts of one or more runs, and how long each test took.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Report {
    passed: usize,
    failed: usize,
    /// A run said that it failed, whatever its counts.
    unclean: bool,
    seconds: Vec<(f64, String)>,
}

impl Report {
    pub(super) fn passed(&self) -> usize {
        self.passed
    }

    pub(super) fn failed(&self) -> usize {
        self.failed
    }

    /// Whether every run ended with success.
    pub(super) fn is_clean(&self) -> bool {
        !self.unclean
    }

    pub(super) fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.unclean |= other.unclean;
        self.seconds.extend(other.seconds);
    }

    pub(super) fn print_slowest(&self) {
        let mut slowest: Vec<&(f64, String)> = self.seconds.iter().collect();
        slowest.sort_by(|(first, _), (second, _)| second.total_cmp(first));
        println!("\nThe slowest tests");
        for (seconds, name) in slowest.into_iter().take(SHOWN) {
            println!("{seconds:8.2} s  {name}");
        }
    }
}

/// Runs nextest and reads its report.
pub(super) fn of_nextest(command: &mut Command, profile: &str) -> Result<Report> {
    let path = repository::target()
        .join("nextest")
        .join(profile)
        .join("junit.xml");
    remove_old(&path)?;
    let success = super::succeeded(command)?;
    let mut report = match fs::read_to_string(&path) {
        Ok(text) => parse_junit(&text).with_context(|| format!("reading `{}`", path.display()))?,
        // It did not come as far as running tests; it has said why.
        Err(_) if !success => Report::default(),
        Err(error) => return Err(error).with_context(|| format!("reading `{}`", path.display())),
    };
    report.unclean = !success;
    Ok(report)
}

/// Runs rustdoc's tests and adds up their closing lines, passing everything on to the terminal.
pub(super) fn of_doctests(command: &mut Command) -> Result<Report> {
    interrupt::check()?;
    let output = command
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .context("starting the tests of the documentation")?;
    interrupt::check()?;
    let text = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        io::stdout()
            .write_all(&output.stdout)
            .context("writing to the terminal")?;
    }
    let mut report = Report {
        unclean: !output.status.success(),
        ..Report::default()
    };
    for (passed, failed) in text.lines().filter_map(closing_line) {
        report.passed += passed;
        report.failed += failed;
    }
    Ok(report)
}

fn remove_old(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("removing `{}`", path.display()))
        }
        _ => Ok(()),
    }
}

/// `test result: ok. 2 passed; 0 failed; …`
fn closing_line(line: &str) -> Option<(usize, usize)> {
    let (_, counts) = line.strip_prefix("test result: ")?.split_once(". ")?;
    let mut numbers = counts
        .split("; ")
        .map(|part| part.split(' ').next().unwrap_or_default().parse());
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

/// Reads the cases of a JUnit file: a case with a `failure` or `error` inside has failed.
fn parse_junit(text: &str) -> Result<Report> {
    let mut reader = Reader::from_str(text);
    let mut report = Report::default();
    let mut has_failed = false;
    loop {
        match reader.read_event()? {
            Event::Start(element) => match element.name().as_ref() {
                b"testcase" => {
                    report.seconds.push(case(&element)?);
                    has_failed = false;
                }
                b"failure" | b"error" => has_failed = true,
                _ => {}
            },
            Event::Empty(element) => match element.name().as_ref() {
                b"testcase" => {
                    report.seconds.push(case(&element)?);
                    report.passed += 1;
                }
                b"failure" | b"error" => has_failed = true,
                _ => {}
            },
            Event::End(element) if element.name().as_ref() == b"testcase" => {
                if has_failed {
                    report.failed += 1;
                } else {
                    report.passed += 1;
                }
            }
            Event::Eof => return Ok(report),
            _ => {}
        }
    }
}

fn case(element: &BytesStart) -> Result<(f64, String)> {
    let attribute = |name: &str| -> Result<String> {
        let attribute = element
            .try_get_attribute(name)?
            .with_context(|| format!("a test case has no `{name}`"))?;
        Ok(attribute.normalized_value(XmlVersion::Implicit1_0)?.into_owned())
    };
    let seconds = attribute("time")?
        .parse()
        .context("the time of a test case is no number")?;
    Ok((
        seconds,
        format!("{} {}", attribute("classname")?, attribute("name")?),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    const JUNIT: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<testsuites name="nextest-run" tests="3" failures="1" errors="0" time="1.5">
    <testsuite name="berth-store" tests="3" failures="1">
        <testcase name="keys::tests::a_key_is_found" classname="berth-store" time="0.250">
        </testcase>
        <testcase name="keys::tests::a_key_is_lost" classname="berth-store" time="1.125">
            <failure message="boom &amp; bust" type="test failure">text</failure>
            <system-out>test result: FAILED</system-out>
        </testcase>
        <testcase name="keys::tests::a &lt; b" classname="berth-store" time="0.125"/>
    </testsuite>
</testsuites>"#;

    #[test]
    fn cases_are_counted_and_timed() {
        let report = parse_junit(JUNIT).expect("is well-formed");
        assert_eq!((report.passed(), report.failed()), (2, 1));
        let names: Vec<&str> = report.seconds.iter().map(|(_, name)| name.as_str()).collect();
        assert_eq!(names[2], "berth-store keys::tests::a < b");
        assert!((report.seconds[1].0 - 1.125).abs() < f64::EPSILON);
    }

    #[test]
    fn closing_lines_are_told_from_others() {
        let line =
            "test result: ok. 12 passed; 3 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.5s";
        assert_eq!(closing_line(line), Some((12, 3)));
        assert_eq!(closing_line("running 12 tests"), None);
    }

    #[test]
    fn a_run_that_failed_without_a_failed_test_spoils_the_sum() {
        let mut sum = Report {
            passed: 5,
            ..Report::default()
        };
        sum.add(Report {
            unclean: true,
            ..Report::default()
        });
        assert!(!sum.is_clean());
        assert_eq!((sum.passed(), sum.failed()), (5, 0));
    }
}
