//! The backend on the real library. `cargo xtask test` fetches it and says where it is.

mod graph;
mod mapped;

use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use berth_domain::tensor::{Datatype, Dimension};
use berth_inference::onnx_runtime::{OnnxRuntime, OpenError};
use berth_inference::tensor::{Elements, Fill};
use berth_inference::{Backend as _, Error, Interrupt, Model, Options, Provider, Session, Tensor};
use half::{bf16, f16};

use graph::{BOOL, Extent, FLOAT, INT64};

/// ONNX's numbers of the datatypes.
const ELEMENTS: [(Datatype, u64); 14] = [
    (Datatype::Fp32, 1),
    (Datatype::Uint8, 2),
    (Datatype::Int8, 3),
    (Datatype::Uint16, 4),
    (Datatype::Int16, 5),
    (Datatype::Int32, 6),
    (Datatype::Int64, 7),
    (Datatype::Bytes, 8),
    (Datatype::Bool, 9),
    (Datatype::Fp16, 10),
    (Datatype::Fp64, 11),
    (Datatype::Uint32, 12),
    (Datatype::Uint64, 13),
    (Datatype::Bf16, 16),
];

fn path_of(variable: &str) -> PathBuf {
    std::env::var_os(variable)
        .expect("run `cargo xtask test`: it fetches the library and the model, and says where they are")
        .into()
}

fn runtime() -> OnnxRuntime {
    OnnxRuntime::open(&path_of("BERTH_TEST_ONNXRUNTIME")).expect("the library opens")
}

/// Writes a graph into a folder and loads it.
fn load(bytes: &[u8]) -> (tempfile::TempDir, Result<Box<dyn Session>, Error>) {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("model.onnx"), bytes).expect("the graph is written");
    let model = Model {
        folder: folder.path().to_owned(),
        graph: "model.onnx".to_owned(),
    };
    let session = runtime().load(&model, &Options::default());
    (folder, session)
}

fn loaded(bytes: &[u8]) -> Box<dyn Session> {
    load(bytes).1.expect("the model loads")
}

const MINILM_INPUTS: [&str; 3] = ["input_ids", "attention_mask", "token_type_ids"];

/// all-MiniLM-L6-v2, int8.
fn minilm() -> Box<dyn Session> {
    let model = Model {
        folder: path_of("BERTH_TEST_MINILM"),
        graph: "model.onnx".to_owned(),
    };
    runtime().load(&model, &Options::default()).expect("it loads")
}

fn run(session: &mut dyn Session, inputs: &[(&str, &Tensor)], output: &str) -> Result<Tensor, Error> {
    session
        .run(inputs, &[output], &Interrupt::new())
        .map(|mut outputs| outputs.remove(0))
}

#[test]
fn missing_library_is_named() {
    let error = OnnxRuntime::open(Path::new("/no/such/library.so")).expect_err("it cannot open");
    assert!(matches!(error, OpenError::Missing { .. }), "{error:?}");
    assert_eq!(
        error.to_string(),
        "there is no ONNX Runtime library at /no/such/library.so"
    );
}

#[test]
fn file_that_is_no_library_is_refused() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), "not a library").expect("written");
    let error = OnnxRuntime::open(file.path()).expect_err("it cannot open");
    assert!(matches!(error, OpenError::NotALibrary { .. }), "{error:?}");
}

#[test]
fn other_library_is_refused() {
    let maps = std::fs::read_to_string("/proc/self/maps").expect("this process has maps");
    let other = maps
        .lines()
        .filter_map(|line| line.split_whitespace().last())
        .find(|path| path.contains("libgcc_s") || path.contains("libc.so"))
        .expect("some library is loaded");
    let error = OnnxRuntime::open(Path::new(other)).expect_err("it cannot open");
    assert!(matches!(error, OpenError::NotOnnxRuntime { .. }), "{error:?}");
}

#[test]
fn library_opens_once_and_tells_its_version() {
    let (first, second) = (runtime(), runtime());
    assert_eq!(first.version(), second.version());
    assert!(
        first.version().starts_with("ONNX Runtime 1."),
        "{}",
        first.version()
    );
    assert!(first.library_version().starts_with("1."));
    let providers = first.available_providers().expect("a list");
    assert!(
        providers.iter().any(|name| name == "CPUExecutionProvider"),
        "{providers:?}"
    );
}

#[test]
fn every_datatype_goes_through_the_runtime_unchanged() {
    let samples: [Elements; 14] = [
        vec![true, false, true].into(),
        vec![0u8, 1, u8::MAX].into(),
        vec![0u16, 1, u16::MAX].into(),
        vec![0u32, 1, u32::MAX].into(),
        vec![0u64, 1, u64::MAX].into(),
        vec![i8::MIN, 0, i8::MAX].into(),
        vec![i16::MIN, 0, i16::MAX].into(),
        vec![i32::MIN, 0, i32::MAX].into(),
        vec![i64::MIN, 0, i64::MAX].into(),
        vec![f16::MIN, f16::ZERO, f16::MAX].into(),
        vec![bf16::MIN, bf16::ZERO, bf16::MAX].into(),
        vec![f32::MIN, f32::INFINITY, 1e-40].into(),
        vec![f64::MIN, f64::NEG_INFINITY, 1e-310].into(),
        vec![b"".to_vec(), b"a\0b".to_vec(), vec![0xff, 0xfe]].into(),
    ];
    for elements in samples {
        let datatype = elements.datatype();
        let (_, number) = ELEMENTS
            .into_iter()
            .find(|(known, _)| *known == datatype)
            .expect("a known datatype");
        let mut session = loaded(&graph::identity(number, &[Extent::Named("n")]));
        assert_eq!(session.inputs()[0].datatype, datatype);
        let sample = Tensor::new(vec![3], elements).expect("fits");
        let output = run(&mut *session, &[("x", &sample)], "y").expect("runs");
        assert_eq!(output, sample, "{datatype:?}");
        let empty = Tensor::filled(datatype, Fill::Zero, vec![0]).expect("fits");
        let output = run(&mut *session, &[("x", &empty)], "y").expect("runs");
        assert_eq!(output, empty, "{datatype:?} without elements");
    }
}

#[test]
fn rank_0_and_empty_extents_go_through_the_runtime() {
    let scalar = Tensor::new(vec![], vec![7i64]).expect("fits");
    let mut session = loaded(&graph::identity(INT64, &[]));
    assert_eq!(run(&mut *session, &[("x", &scalar)], "y").expect("runs"), scalar);

    let empty = Tensor::new(vec![2, 0, 3], Vec::<f32>::new()).expect("fits");
    let mut session = loaded(&graph::identity(
        FLOAT,
        &[Extent::Open, Extent::Open, Extent::Fixed(3)],
    ));
    assert_eq!(run(&mut *session, &[("x", &empty)], "y").expect("runs"), empty);
}

#[test]
fn truth_values_that_are_neither_0_nor_1_are_read_safely() {
    let bytes = graph::model(&graph::graph(
        &[graph::node("Identity", &["odd"], &["y"])],
        &[graph::initializer("odd", BOOL, &[3], &[0, 2, 255])],
        &[],
        &[graph::tensor("y", BOOL, &[Extent::Fixed(3)])],
    ));
    let output = run(&mut *loaded(&bytes), &[], "y").expect("runs");
    assert_eq!(output.elements(), &Elements::Bool(vec![false, true, true]));
}

#[test]
fn declared_names_and_shapes_are_described() {
    let session = loaded(&graph::identity(
        FLOAT,
        &[Extent::Named("batch"), Extent::Fixed(3), Extent::Open],
    ));
    let spec = &session.inputs()[0];
    assert_eq!((spec.name.as_str(), spec.datatype), ("x", Datatype::Fp32));
    assert_eq!(
        spec.shape,
        [
            Dimension::Symbolic("batch".to_owned()),
            Dimension::Fixed(3),
            Dimension::OPEN
        ]
    );
    assert_eq!(session.outputs()[0].name, "y");
}

#[test]
fn model_that_is_not_onnx_is_a_load_error_without_paths() {
    let (folder, session) = load(b"this is not a graph");
    let Err(error @ Error::Load { .. }) = session else {
        panic!("it is a load error");
    };
    let message = error.to_string();
    assert!(!message.contains(&*folder.path().to_string_lossy()), "{message}");
    assert!(message.contains("model.onnx"), "{message}");
}

#[test]
fn missing_graph_is_a_load_error() {
    let model = Model {
        folder: "/".into(),
        graph: "no-such.onnx".to_owned(),
    };
    let Err(error) = runtime().load(&model, &Options::default()) else {
        panic!("it cannot load");
    };
    assert_eq!(error.to_string(), "the model has no file `no-such.onnx`");
}

#[test]
fn model_whose_output_is_no_tensor_is_refused_in_words() {
    let bytes = graph::model(&graph::graph(
        &[graph::node("SequenceConstruct", &["x", "x"], &["y"])],
        &[],
        &[graph::tensor("x", FLOAT, &[Extent::Fixed(1)])],
        &[graph::Message::default().text(1, "y").message(
            2,
            &graph::Message::default().message(
                4,
                &graph::Message::default().message(
                    1,
                    &graph::Message::default().message(1, &graph::Message::default().number(1, FLOAT)),
                ),
            ),
        )],
    ));
    let (_folder, Err(error @ Error::Load { .. })) = load(&bytes) else {
        panic!("it is a load error");
    };
    assert!(
        error.to_string().contains("the output `y` is Sequence"),
        "{error}"
    );
}

#[test]
fn demanded_provider_that_is_missing_is_an_error_and_no_fall_back() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(
        folder.path().join("model.onnx"),
        graph::identity(FLOAT, &[Extent::Open]),
    )
    .expect("written");
    let model = Model {
        folder: folder.path().to_owned(),
        graph: "model.onnx".to_owned(),
    };
    let options = Options {
        providers: vec![Provider::Cuda, Provider::Cpu],
        ..Options::default()
    };
    let Err(error @ Error::Load { .. }) = runtime().load(&model, &options) else {
        panic!("it is a load error");
    };
    assert!(
        error.to_string().contains("cuda") || error.to_string().contains("CUDA"),
        "{error}"
    );
}

/// Looks up rows of a table of two rows.
fn lookup() -> Vec<u8> {
    graph::model(&graph::graph(
        &[graph::node("Gather", &["table", "x"], &["y"])],
        &[graph::initializer("table", FLOAT, &[2], &[0; 8])],
        &[graph::tensor("x", INT64, &[Extent::Named("n")])],
        &[graph::tensor("y", FLOAT, &[Extent::Named("n")])],
    ))
}

#[test]
fn index_out_of_range_is_the_callers_fault() {
    let mut session = loaded(&lookup());
    let outside = Tensor::new(vec![1], vec![99i64]).expect("fits");
    let error = run(&mut *session, &[("x", &outside)], "y").expect_err("it is refused");
    assert!(matches!(error, Error::InvalidInput { .. }), "{error:?}");
    assert!(
        error
            .to_string()
            .starts_with("the model's operator Gather (`the_gather`) says: indices element out of"),
        "{error}"
    );
    let inside = Tensor::new(vec![2], vec![0i64, 1]).expect("fits");
    run(&mut *session, &[("x", &inside)], "y").expect("the session still works");
}

#[test]
fn shapes_that_an_operator_cannot_work_on_are_the_callers_fault() {
    let open = [Extent::Named("n")];
    let declared = |operator: &str, constant: graph::Message, rank: usize| {
        graph::model(&graph::graph(
            &[graph::node(operator, &["x", "c"], &["y"])],
            &[constant],
            &[graph::tensor("x", FLOAT, &open)],
            &[graph::tensor("y", FLOAT, &[Extent::Open; 2][..rank])],
        ))
    };
    let three = graph::initializer("c", FLOAT, &[3], &[0; 12]);
    let square = [2i64, 2].map(i64::to_le_bytes).concat();
    let square = graph::initializer("c", INT64, &[2], &square);
    for (model, extent, named) in [
        (declared("Add", three, 1), 2, "Add (`the_add`)"),
        (declared("Reshape", square, 2), 3, "Reshape (`the_reshape`)"),
    ] {
        let mut session = loaded(&model);
        let x = Tensor::new(vec![extent], vec![0f32; extent]).expect("fits");
        let error = run(&mut *session, &[("x", &x)], "y").expect_err("it is refused");
        assert!(matches!(error, Error::InvalidInput { .. }), "{error:?}");
        assert!(error.to_string().contains(named), "{error}");
    }
}

#[test]
fn memory_that_is_not_there_is_not_the_callers_fault() {
    let mut session = loaded(&graph::model(&graph::graph(
        &[graph::node("ConstantOfShape", &["x"], &["y"])],
        &[],
        &[graph::tensor("x", INT64, &[Extent::Fixed(1)])],
        &[graph::tensor("y", FLOAT, &[Extent::Open])],
    )));
    let far_too_many = Tensor::new(vec![1], vec![1i64 << 44]).expect("fits");
    let error = run(&mut *session, &[("x", &far_too_many)], "y").expect_err("no machine has it");
    assert!(matches!(error, Error::Failed { .. }), "{error:?}");
    let few = Tensor::new(vec![1], vec![3i64]).expect("fits");
    run(&mut *session, &[("x", &few)], "y").expect("the session still works");
    // A size that cannot even be counted is in the data.
    let beyond = Tensor::new(vec![1], vec![1i64 << 62]).expect("fits");
    let error = run(&mut *session, &[("x", &beyond)], "y").expect_err("it is refused");
    assert!(matches!(error, Error::InvalidInput { .. }), "{error:?}");
}

#[test]
fn wrong_type_shape_and_missing_input_are_the_callers_fault() {
    let mut session = loaded(&graph::identity(FLOAT, &[Extent::Fixed(2)]));
    let short = Tensor::new(vec![1], vec![0f32]).expect("fits");
    let whole = Tensor::new(vec![2], vec![0i32; 2]).expect("fits");
    for inputs in [
        vec![("x", &short)],
        vec![("x", &whole)],
        vec![("z", &short)],
        vec![],
    ] {
        let error = run(&mut *session, &inputs, "y").expect_err("it is refused");
        assert!(matches!(error, Error::InvalidInput { .. }), "{error:?}");
    }
}

#[test]
fn inputs_that_disagree_about_an_extent_are_the_callers_fault() {
    let mut session = loaded(&graph::model(&graph::graph(
        &[graph::node("Add", &["a", "b"], &["y"])],
        &[],
        &[
            graph::tensor("a", FLOAT, &[Extent::Named("n")]),
            graph::tensor("b", FLOAT, &[Extent::Named("n")]),
        ],
        &[graph::tensor("y", FLOAT, &[Extent::Named("n")])],
    )));
    let two = Tensor::new(vec![2], vec![0f32; 2]).expect("fits");
    let three = Tensor::new(vec![3], vec![0f32; 3]).expect("fits");
    let error = run(&mut *session, &[("a", &two), ("b", &three)], "y").expect_err("it is refused");
    assert!(matches!(error, Error::InvalidInput { .. }), "{error:?}");
}

#[test]
fn interrupt_stops_a_run_in_its_middle_and_before_it_begins() {
    let mut session = loaded(&graph::spinner());
    let start = Tensor::filled(Datatype::Fp32, Fill::One, vec![64]).expect("fits");
    let forever = Tensor::new(vec![], vec![i64::MAX]).expect("fits");
    let few = Tensor::new(vec![], vec![3i64]).expect("fits");

    let interrupt = Interrupt::new();
    let trigger = interrupt.clone();
    let this_thread = std::fs::read_link("/proc/thread-self").expect("this thread has a folder");
    let worked = move || processor_time(&this_thread);
    let before = worked();
    let begun = Instant::now();
    let stopper = thread::spawn(move || {
        // The run is under way once this thread has worked for a while; loading is over.
        while worked() < before + Duration::from_millis(50) {
            thread::yield_now();
        }
        trigger.trigger();
    });
    let result = session.run(&[("count", &forever), ("start", &start)], &["end"], &interrupt);
    assert!(matches!(result, Err(Error::Interrupted)), "{result:?}");
    assert!(begun.elapsed() < Duration::from_secs(30));
    stopper.join().expect("the other thread ends");

    let result = session.run(&[("count", &few), ("start", &start)], &["end"], &interrupt);
    assert!(matches!(result, Err(Error::Interrupted)), "{result:?}");
    let result = session.run(&[("count", &few), ("start", &start)], &["end"], &Interrupt::new());
    assert!(result.is_ok(), "the session works after an interrupt: {result:?}");
}

/// How long a thread has worked, by its folder under `/proc`.
fn processor_time(thread: &Path) -> Duration {
    let statistics = std::fs::read_to_string(Path::new("/proc").join(thread).join("schedstat"));
    let statistics = statistics.expect("the thread lives");
    let first = statistics.split(' ').next().expect("three numbers");
    Duration::from_nanos(first.parse().expect("a number"))
}

#[test]
fn rows_that_minilm_cannot_read_are_the_callers_fault() {
    let mut session = minilm();
    // It knows 512 positions, and cannot reshape what has no extent.
    for extents in [[1, 600], [1, 0], [0, 0]] {
        let inputs = MINILM_INPUTS.map(|name| {
            let tensor = Tensor::filled(Datatype::Int64, Fill::One, extents.to_vec());
            (name, tensor.expect("small"))
        });
        let inputs = inputs.each_ref().map(|(name, tensor)| (*name, tensor));
        match run(&mut *session, &inputs, "last_hidden_state") {
            Ok(states) => assert!(states.elements().is_empty(), "{extents:?}"),
            Err(error) => assert!(
                matches!(error, Error::InvalidInput { .. }),
                "{extents:?}: {error:?}"
            ),
        }
    }
}

#[test]
fn minilm_gives_the_known_states_and_runs_on_the_cpu() {
    let mut session = minilm();
    assert_eq!(session.providers(), ["cpu"]);
    let ids = Tensor::new(
        vec![1, 9],
        vec![101i64, 1037, 2158, 2003, 2652, 1037, 2858, 1012, 102],
    )
    .expect("fits");
    let mask = Tensor::filled(Datatype::Int64, Fill::One, vec![1, 9]).expect("fits");
    let types = Tensor::filled(Datatype::Int64, Fill::Zero, vec![1, 9]).expect("fits");
    let [ids_name, mask_name, types_name] = MINILM_INPUTS;
    let inputs = [(ids_name, &ids), (mask_name, &mask), (types_name, &types)];
    let states = run(&mut *session, &inputs, "last_hidden_state").expect("it runs");
    assert_eq!(states.shape(), [1, 9, 384]);
    let Elements::Fp32(states) = states.elements() else {
        panic!("the states are float");
    };
    let mut mean: Vec<f32> = (0..384)
        .map(|column| (0..9).map(|row| states[row * 384 + column]).sum::<f32>() / 9.0)
        .collect();
    let length = mean.iter().map(|value| value * value).sum::<f32>().sqrt();
    for value in &mut mean {
        *value /= length;
    }
    for (value, known) in mean.iter().zip([0.01939, -0.00235, -0.00788, -0.06321, -0.16841]) {
        assert!((value - known).abs() < 2e-4, "{:?}", &mean[..5]);
    }
}
