//! What serving costs: requests of three models through Berth, through a minimal server that runs the same session in
//! process, and through bare ONNX Runtime, in turns.
//!
//! Whatever serves runs on core 0, whatever asks on core 1. What counts are ratios within one run.

pub(crate) mod bare;
mod load;
pub(crate) mod reference;
mod workload;

use std::io::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result};

use self::bare::Bare;
use self::load::{Outcome, Target};
use self::reference::Reference;
use self::workload::{Form, Workload};
use crate::report::{self, Aim, Row};
use crate::statistics::{Estimate, estimate, exactly};
use crate::{bare as runtime, pinning, processes};

const BENCH: &str = "serving";

/// Requests a second of the open loop.
const FIXED_RATE: u32 = 10_000;

/// Connections over which the open loop sends.
const FIXED_RATE_CONNECTIONS: usize = 64;

/// Where the parts are, and how long to measure.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// `host:port` of a running Berth whose processes are pinned to core 0, with the models deployed as `tiny`, `minilm` and
    /// `efficientnet`.
    #[arg(long)]
    address: String,
    /// An API key for it.
    #[arg(long, env = "BERTH_API_KEY", hide_env_values = true)]
    key: String,
    /// Process id whose family counts as Berth's, as far as it is called `berth…`.
    #[arg(long)]
    pid: u32,
    /// The ONNX Runtime library that the runners use too.
    #[arg(long)]
    onnxruntime: PathBuf,
    /// Folder with `tiny.onnx`, `minilm.onnx` and `efficientnet.onnx`.
    #[arg(long)]
    models: PathBuf,
    /// Only cases whose name contains this.
    #[arg(long, default_value = "")]
    only: String,
    /// How many rounds; each gives one figure of a kind.
    #[arg(long, default_value_t = 5)]
    rounds: u32,
    /// Seconds for each turn in a round.
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// Also write the rows as JSON lines to this file.
    #[arg(long)]
    json: Option<PathBuf>,
}

impl Options {
    fn turn(&self) -> Duration {
        Duration::from_secs(self.seconds)
    }
}

/// One model in one form at one number of connections.
struct Case {
    workload: Workload,
    form: Form,
    connections: usize,
    aims: &'static [(Figure, Aim)],
}

/// What is told of a case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Figure {
    Rate,
    P50,
    P99,
    CpuUs,
    ReferenceRate,
    ReferenceP50,
    ReferenceP99,
    BareRate,
    BareP50,
    RateToReference,
    RateToBare,
    P50OverReference,
    P50ToBare,
    P99ToReference,
    P99ToP50,
}

impl Figure {
    const fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Rate => ("Berth: rate", "1/s"),
            Self::P50 => ("Berth: p50", "ms"),
            Self::P99 => ("Berth: p99", "ms"),
            Self::CpuUs => ("Berth: CPU of all processes, each request", "µs"),
            Self::ReferenceRate => ("reference: rate", "1/s"),
            Self::ReferenceP50 => ("reference: p50", "ms"),
            Self::ReferenceP99 => ("reference: p99", "ms"),
            Self::BareRate => ("bare at its best batch: rows", "1/s"),
            Self::BareP50 => ("bare, one row: p50", "ms"),
            Self::RateToReference => ("rate / reference's", ""),
            Self::RateToBare => ("rate / bare rows", ""),
            Self::P50OverReference => ("p50 − reference's", "ms"),
            Self::P50ToBare => ("p50 / bare p50", ""),
            Self::P99ToReference => ("p99 / reference's", ""),
            Self::P99ToP50 => ("p99 / p50", ""),
        }
    }
}

fn cases() -> Vec<Case> {
    use Aim::{AtLeast, AtMost};
    use Figure::{CpuUs, P50OverReference, P50ToBare, P99ToP50, RateToBare, RateToReference};
    let case = |workload: fn() -> Workload, form, connections, aims| Case {
        workload: workload(),
        form,
        connections,
        aims,
    };
    let (tiny, minilm, efficientnet) = (workload::tiny, workload::minilm, workload::efficientnet);
    vec![
        case(tiny, Form::Json, 1, &[(P50OverReference, AtMost(0.12))]),
        case(tiny, Form::Json, 8, &[]),
        case(
            tiny,
            Form::Json,
            64,
            &[(RateToReference, AtLeast(0.4)), (CpuUs, AtMost(40.0))],
        ),
        case(minilm, Form::Json, 1, &[(P50ToBare, AtMost(1.03))]),
        case(minilm, Form::Json, 8, &[(P99ToP50, AtMost(1.25))]),
        case(minilm, Form::Json, 64, &[(RateToBare, AtLeast(0.95))]),
        case(efficientnet, Form::Json, 8, &[(RateToBare, AtLeast(0.7))]),
        case(efficientnet, Form::Binary, 8, &[(RateToBare, AtLeast(0.93))]),
        case(efficientnet, Form::Binary, 64, &[(RateToBare, AtLeast(0.95))]),
    ]
}

/// Measures and prints the table.
pub(crate) fn run(options: &Options) -> Result<()> {
    let environment = runtime::runtime(&options.onnxruntime)?;
    // The database is nobody's business here.
    for process in processes::family(options.pid)? {
        if !process.name.starts_with("berth") {
            pinning::pin_process(process.pid, 1)?;
        }
    }
    let mut rows = Vec::new();
    for case in cases() {
        let name = format!(
            "{} {}, concurrency {}",
            case.workload.name, case.form, case.connections
        );
        if name.contains(&options.only) {
            let bare = Bare::load(&environment, &options.models, &case.workload)?;
            writeln!(std::io::stderr(), "{name}")?;
            let measured = measure(options, &case, bare).with_context(|| format!("measuring {name}"))?;
            rows.extend(case_rows(&name, &case, &measured));
        }
    }
    let name = format!("tiny JSON, {FIXED_RATE}/s open loop");
    if name.contains(&options.only) {
        rows.extend(fixed_rate(options, &name)?);
    }
    rows.extend(memory(options)?);
    report::write(&rows, options.json.as_deref())
}

/// A figure of a round.
type Of<'a> = dyn Fn(&Round) -> f64 + 'a;

/// The figures of a case.
type Measured = Vec<(Figure, Estimate)>;

fn case_rows(name: &str, case: &Case, measured: &Measured) -> Vec<Row> {
    let row = |&(figure, estimate): &(Figure, Estimate)| {
        let aim = case
            .aims
            .iter()
            .find(|(of, _)| *of == figure)
            .map(|(_, aim)| *aim);
        let (metric, unit) = figure.words();
        Row::new(BENCH, name, metric, estimate, unit, aim)
    };
    measured.iter().map(row).collect()
}

fn measure(options: &Options, case: &Case, mut bare: Bare) -> Result<Measured> {
    let reference = Reference::start(options, &case.workload)?;
    let berth = Target::berth(&options.address, &options.key, &case.workload, case.form);
    let minimal = Target::reference(reference.address(), &case.workload, case.form);
    let turn = options.turn();
    // One short turn of each first, so that caches and clocks are warm.
    pinning::pin(1)?;
    let warm = Duration::from_secs(1);
    load::closed(&berth, case.connections, warm)?;
    load::closed(&minimal, case.connections, warm)?;
    let mut rounds = Vec::new();
    for _ in 0..options.rounds {
        pinning::pin(1)?;
        let before = berth_cpu_us(options.pid)?;
        let served = load::closed(&berth, case.connections, turn)?;
        let cpu_us = berth_cpu_us(options.pid)? - before;
        let referred = load::closed(&minimal, case.connections, turn)?;
        pinning::pin(0)?;
        let best = bare.best_rate(turn)?;
        let single_ms = bare.single_p50_ms(turn / 4)?;
        rounds.push(Round {
            served,
            cpu_us,
            referred,
            best,
            single_ms,
        });
    }
    let bare_rate = over(&rounds, |round| round.best).value;
    let bare_p50 = over(&rounds, |round| round.single_ms).value;
    let reference_rate = over(&rounds, |round| round.referred.rate()).value;
    let figures: [(Figure, &Of<'_>); 15] = [
        (Figure::Rate, &|round| round.served.rate()),
        (Figure::P50, &|round| round.served.p50_ms),
        (Figure::P99, &|round| round.served.p99_ms),
        (Figure::CpuUs, &Round::cpu_us_each),
        (Figure::ReferenceRate, &|round| round.referred.rate()),
        (Figure::ReferenceP50, &|round| round.referred.p50_ms),
        (Figure::ReferenceP99, &|round| round.referred.p99_ms),
        (Figure::BareRate, &|round| round.best),
        (Figure::BareP50, &|round| round.single_ms),
        (Figure::RateToReference, &|round| {
            round.served.rate() / reference_rate
        }),
        (Figure::RateToBare, &|round| round.served.rate() / bare_rate),
        (Figure::P50OverReference, &|round| {
            round.served.p50_ms - round.referred.p50_ms
        }),
        (Figure::P50ToBare, &|round| round.served.p50_ms / bare_p50),
        (Figure::P99ToReference, &|round| {
            round.served.p99_ms / round.referred.p99_ms
        }),
        (Figure::P99ToP50, &|round| {
            round.served.p99_ms / round.served.p50_ms
        }),
    ];
    Ok(figures
        .iter()
        .map(|(figure, of)| (*figure, over(&rounds, of)))
        .collect())
}

struct Round {
    served: Outcome,
    cpu_us: u64,
    referred: Outcome,
    best: f64,
    single_ms: f64,
}

impl Round {
    #[expect(clippy::cast_precision_loss, reason = "counts of a round")]
    fn cpu_us_each(&self) -> f64 {
        self.cpu_us as f64 / self.served.answers as f64
    }
}

fn over<T>(rounds: &[T], of: impl Fn(&T) -> f64) -> Estimate {
    estimate(&rounds.iter().map(of).collect::<Vec<_>>())
}

fn fixed_rate(options: &Options, name: &str) -> Result<Vec<Row>> {
    let workload = workload::tiny();
    let reference = Reference::start(options, &workload)?;
    let targets = [
        Target::berth(&options.address, &options.key, &workload, Form::Json),
        Target::reference(reference.address(), &workload, Form::Json),
    ];
    pinning::pin(1)?;
    let mut rounds = Vec::new();
    for _ in 0..options.rounds {
        let [served, referred] = targets
            .each_ref()
            .map(|target| load::open(target, FIXED_RATE_CONNECTIONS, FIXED_RATE, options.turn()));
        rounds.push((served?, referred?));
    }
    let row = |metric, unit, aim, of: &dyn Fn(&(Outcome, Outcome)) -> f64| {
        Row::new(BENCH, name, metric, over(&rounds, of), unit, aim)
    };
    Ok(vec![
        row("Berth: rate", "1/s", None, &|round| round.0.rate()),
        row("Berth: p50", "ms", None, &|round| round.0.p50_ms),
        row("Berth: p99", "ms", None, &|round| round.0.p99_ms),
        row("reference: rate", "1/s", None, &|round| round.1.rate()),
        row("reference: p99", "ms", None, &|round| round.1.p99_ms),
        row("p99 / reference's", "", Some(Aim::AtMost(2.0)), &|round| {
            round.0.p99_ms / round.1.p99_ms
        }),
    ])
}

/// CPU time of Berth's own processes, in µs.
fn berth_cpu_us(root: u32) -> Result<u64> {
    let family = processes::family(root)?;
    let own = family.iter().filter(|process| process.name.starts_with("berth"));
    Ok(own.map(|process| process.cpu_us).sum())
}

fn memory(options: &Options) -> Result<Vec<Row>> {
    #[expect(clippy::cast_precision_loss, reason = "megabytes for a table")]
    let megabytes = |bytes: u64| bytes as f64 / 1e6;
    let family = processes::family(options.pid)?;
    let own = family.iter().filter(|process| process.name.starts_with("berth"));
    Ok(own
        .map(|process| {
            let private = exactly(megabytes(process.private_bytes));
            Row::new(BENCH, process.name.clone(), "private memory", private, "MB", None)
        })
        .collect())
}
