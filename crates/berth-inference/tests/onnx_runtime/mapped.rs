//! Sessions whose weights are mapped from a file.

use std::fs::{self, File};
use std::path::Path;

use berth_inference::tensor::Elements;
use berth_inference::{Backend as _, Interrupt, Model, Options, Session, Tensor, Weights};
use berth_onnx::Limits;
use berth_test_support::onnx_models::{self as onnx, element};

use crate::runtime;

const WIDE: i64 = 2048;
const NARROW: i64 = 512;

/// Four layers, 16 MiB of weights.
fn layers() -> Vec<u8> {
    // None like another: the runtime packs equal ones once.
    let weight = |name: &str, rows: i64, columns: i64, period: u16| {
        let count = usize::try_from(rows * columns).expect("small");
        let values: Vec<f32> = (0..period)
            .map(|place| f32::from(place % 251) / 4000.0 - 0.03)
            .collect();
        let values: Vec<f32> = values.iter().copied().cycle().take(count).collect();
        onnx::floats(name, &[rows, columns], &values)
    };
    let nodes = [("x", "a", "1"), ("1", "b", "2"), ("2", "c", "3"), ("3", "d", "y")]
        .map(|(from, weight, to)| onnx::node("MatMul", &[from, weight], &[to], &[]));
    let weights = [
        weight("a", NARROW, WIDE, 8191),
        weight("b", WIDE, NARROW, 7919),
        weight("c", NARROW, WIDE, 6997),
        weight("d", WIDE, NARROW, 5003),
    ];
    let port = |name| onnx::port(name, element::FLOAT, &["rows", "512"]);
    onnx::model(&onnx::graph(&nodes, &weights, &[port("x")], &[port("y")])).into_bytes()
}

/// The model with its weights in the graph, and the same with them in a file beside it.
fn both_forms(folder: &Path) -> [Model; 2] {
    let [inside, beside] = ["inside", "beside"].map(|name| Model {
        folder: folder.join(name),
        graph: "model.onnx".to_owned(),
    });
    for model in [&inside, &beside] {
        fs::create_dir(&model.folder).expect("a folder");
    }
    fs::write(inside.folder.join("model.onnx"), layers()).expect("the graph is written");
    let limits = Limits::default();
    let summary = berth_onnx::inspect(&inside.folder, "model.onnx", &limits).expect("is accepted");
    let plan = berth_onnx::rewrite::plan(&inside.folder, "model.onnx", &summary, "weights", &limits);
    let plan = plan.expect("is read").expect("there is much to move");
    let create = |name| File::create(beside.folder.join(name)).expect("a file");
    plan.write(create("model.onnx"), create("weights"))
        .expect("is written");
    [inside, beside]
}

/// Memory of this process that the system cannot drop and read again.
fn unreclaimable() -> u64 {
    berth_inference::memory::release_free_pages();
    let rollup = fs::read_to_string("/proc/self/smaps_rollup").expect("Linux has it");
    let line = rollup.lines().find_map(|line| line.strip_prefix("Anonymous:"));
    let number = line.and_then(|line| line.trim().strip_suffix(" kB"));
    number
        .and_then(|number| number.parse::<u64>().ok())
        .expect("a number")
        * 1024
}

/// Sessions, and what the last of them takes: the first use up what is left of other memory.
fn loaded(model: &Model, weights: Weights) -> (Vec<Box<dyn Session>>, u64) {
    let options = Options {
        weights,
        ..Options::default()
    };
    let mut sessions = Vec::new();
    let mut last = 0;
    for _ in 0..5 {
        let before = unreclaimable();
        sessions.push(runtime().load(model, &options).expect("the model loads"));
        last = unreclaimable().saturating_sub(before);
    }
    (sessions, last)
}

fn answer(session: &mut dyn Session) -> Vec<f32> {
    let values: Vec<f32> = (0_u16..1536).map(|place| f32::from(place % 97) / 97.0).collect();
    let input = Tensor::new(vec![3, 512], values).expect("a tensor");
    let mut outputs = session
        .run(&[("x", &input)], &["y"], &Interrupt::new())
        .expect("it runs");
    let values = match outputs.remove(0).into_parts().1 {
        Elements::Fp32(values) => Some(values),
        _ => None,
    };
    values.expect("floats")
}

#[test]
fn mapped_weights_take_no_memory_and_give_the_same() {
    let folder = tempfile::tempdir().expect("a folder");
    let [inside, beside] = both_forms(folder.path());
    let (mut prepacked, prepacked_bytes) = loaded(&beside, Weights::Prepacked);
    let (mut mapped, mapped_bytes) = loaded(&beside, Weights::Mapped);
    assert!(mapped_bytes < 1 << 20, "{mapped_bytes}");
    assert!(prepacked_bytes > 12 << 20, "{prepacked_bytes}");

    let mut original = runtime()
        .load(&inside, &Options::default())
        .expect("the model loads");
    let expected = answer(&mut *original);
    assert!(expected.iter().all(|value| value.abs() > f32::MIN_POSITIVE));
    assert_eq!(
        answer(&mut *prepacked[0]),
        expected,
        "the form of the file changes no bit"
    );
    let largest = expected
        .iter()
        .fold(0.0_f32, |largest, value| largest.max(value.abs()));
    for (got, expected) in answer(&mut *mapped[0]).iter().zip(&expected) {
        assert!((got - expected).abs() <= 1e-5 * largest, "{got} and {expected}");
    }
}
