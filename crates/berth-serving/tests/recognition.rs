//! What uploaded folders are recognized as, and what they are told when they are not.

use std::path::Path;

use berth_domain::digest::Sha256;
use berth_domain::manifest::{Manifest, Pooling, Task};
use berth_domain::model::ModelFile;
use berth_domain::tensor::Dimension;
use berth_onnx::Limits;
use berth_serving::gate::Refusal;
use berth_serving::recognition::{Error, Folder, Recognized, recognize};
use berth_test_support::onnx_models::{self as onnx, element};

const TOKENIZER: &[u8] = b"{}";

fn look(files: &[(&str, &[u8])]) -> Result<Recognized, Refusal> {
    let root = tempfile::tempdir().expect("a folder");
    let mut list = Vec::new();
    for (path, content) in files {
        let whole = root.path().join(path);
        std::fs::create_dir_all(whole.parent().expect("is below the folder")).expect("folders");
        std::fs::write(&whole, content).expect("writes");
        list.push(ModelFile {
            path: (*path).to_owned(),
            digest: Sha256::of(content),
            size_bytes: content.len() as u64,
        });
    }
    list.sort_by(|a, b| a.path.cmp(&b.path));
    match recognize(&Folder::unpacked(root.path(), &list), &Limits::default()) {
        Ok(found) => Ok(found),
        Err(Error::Refused(refusal)) => Err(refusal),
        Err(Error::Io { path, source }) => Err(Refusal::of_file("unreadable", &path, source.to_string())),
    }
}

fn manifest(files: &[(&str, &[u8])]) -> Manifest {
    look(files).expect("is recognized").manifest
}

fn refusal(files: &[(&str, &[u8])]) -> Refusal {
    look(files).expect_err("is refused")
}

fn embedder() -> Vec<u8> {
    onnx::embedder(10)
}

/// A graph with the inputs of a text model and one output.
fn text_graph(output: &str, shape: &[&str]) -> Vec<u8> {
    let ids = &["batch", "sequence"];
    onnx::model(&onnx::graph(
        &[onnx::node(
            "Cast",
            &["input_ids"],
            &[output],
            &[onnx::integer_attribute("to", 1)],
        )],
        &[],
        &[
            onnx::port("input_ids", element::INT64, ids),
            onnx::port("attention_mask", element::INT64, ids),
        ],
        &[onnx::port(output, element::FLOAT, shape)],
    ))
    .into_bytes()
}

#[test]
fn graph_alone_is_called_with_tensors() {
    let found = look(&[("model.onnx", &onnx::adder())]).expect("is recognized");
    assert_eq!(found.manifest.task, Task::Tensors);
    assert_eq!(found.manifest.graph, "model.onnx");
    assert_eq!(found.manifest.text_embedding, None);
    assert_eq!(found.manifest.inputs, found.graph.inputs);
    assert!(found.manifest.guessed.is_empty() && found.warnings.is_empty());
    assert!(!found.manifest.batching.padding_is_safe);
    // Whatever the only graph is called.
    assert_eq!(manifest(&[("iris.onnx", &onnx::adder())]).graph, "iris.onnx");
}

#[test]
fn graph_and_tokenizer_embed_texts_with_everything_else_guessed() {
    let manifest = manifest(&[("model.onnx", &embedder()), ("tokenizer.json", TOKENIZER)]);
    assert_eq!(manifest.task, Task::TextEmbedding);
    let fields = manifest.text_embedding.expect("is there");
    assert_eq!(
        (fields.tokenizer.as_str(), fields.output.as_str()),
        ("tokenizer.json", "last_hidden_state")
    );
    assert_eq!((fields.pooling, fields.normalize), (Pooling::Mean, true));
    assert_eq!((fields.max_tokens, fields.dimensions), (256, 4));
    assert!(manifest.batching.padding_is_safe);
    assert_eq!(
        manifest.guessed,
        [
            "task",
            "text_embedding.pooling",
            "text_embedding.normalize",
            "text_embedding.max_tokens",
            "batching.padding_is_safe"
        ]
    );
}

#[test]
fn minilm_is_recognized_as_published() {
    let folder = berth_test_support::minilm_folder().expect("`cargo xtask test` says where it is");
    let file = |name: &str| {
        let content = std::fs::read(folder.join(name)).expect("reads");
        ModelFile {
            path: name.to_owned(),
            digest: Sha256::of(&content),
            size_bytes: content.len() as u64,
        }
    };
    let files = [file("model.onnx"), file("tokenizer.json")];
    let found = recognize(&Folder::unpacked(&folder, &files), &Limits::default()).expect("is recognized");
    let fields = found.manifest.text_embedding.expect("is there");
    assert_eq!((fields.pooling, fields.normalize), (Pooling::Mean, true));
    assert_eq!((fields.max_tokens, fields.dimensions), (256, 384));
    assert!(!found.manifest.batching.rows_depend_on_neighbors);
    assert_eq!(found.warnings, Vec::<String>::new());
}

#[test]
fn license_of_a_damaged_card_is_none() {
    let license = |card: &[u8]| manifest(&[("model.onnx", &onnx::adder()), ("README.md", card)]).license;
    assert_eq!(license(b"---\nlicense: 'mit'\n---\n").as_deref(), Some("mit"));
    assert_eq!(license(b"---\nlicense: a\0b\n---\n"), None);
}

#[test]
fn sentence_transformers_folder_states_its_pipeline() {
    let modules = br#"[
        {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
        {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"}
    ]"#;
    let files: &[(&str, &[u8])] = &[
        (
            "README.md",
            b"---\nlanguage: en\nlicense: apache-2.0\n---\n# Model\n",
        ),
        (
            "config.json",
            br#"{"hidden_size": 4, "max_position_embeddings": 512}"#,
        ),
        ("modules.json", modules),
        (
            "1_Pooling/config.json",
            br#"{"pooling_mode_cls_token": true, "pooling_mode_mean_tokens": false}"#,
        ),
        (
            "sentence_bert_config.json",
            br#"{"max_seq_length": 128, "do_lower_case": false}"#,
        ),
        (
            "tokenizer_config.json",
            br#"{"model_max_length": 1000000000000000019884624838656}"#,
        ),
        ("tokenizer.json", TOKENIZER),
        ("onnx/model.onnx", &embedder()),
    ];
    let manifest = manifest(files);
    let fields = manifest.text_embedding.expect("is there");
    assert_eq!(manifest.graph, "onnx/model.onnx");
    assert_eq!((fields.pooling, fields.normalize), (Pooling::Cls, false));
    assert_eq!((fields.max_tokens, fields.dimensions), (128, 4));
    assert_eq!(manifest.license.as_deref(), Some("apache-2.0"));
    assert_eq!(manifest.guessed, ["task", "batching.padding_is_safe"]);
}

#[test]
fn lengths_come_from_the_most_specific_file_within_the_positions() {
    let max_tokens = |files: &[(&str, &[u8])]| {
        let graph = embedder();
        let mut all: Vec<(&str, &[u8])> = vec![("model.onnx", &graph), ("tokenizer.json", TOKENIZER)];
        all.extend(files);
        manifest(&all).text_embedding.expect("is there").max_tokens
    };
    let positions = ("config.json", &br#"{"max_position_embeddings": 512}"#[..]);
    let tokenizer = ("tokenizer_config.json", &br#"{"model_max_length": 384}"#[..]);
    assert_eq!(max_tokens(&[positions]), 512);
    assert_eq!(max_tokens(&[positions, tokenizer]), 384);
    let long = ("sentence_bert_config.json", &br#"{"max_seq_length": 8192}"#[..]);
    assert_eq!(max_tokens(&[positions, tokenizer, long]), 512);
    let shifted = (
        "config.json",
        &br#"{"max_position_embeddings": 514, "model_type": "xlm-roberta"}"#[..],
    );
    assert_eq!(max_tokens(&[shifted]), 512);
}

#[test]
fn pooled_output_is_taken_as_it_is() {
    let graph = text_graph("sentence_embedding", &["batch", "4"]);
    let fields = manifest(&[("model.onnx", &graph), ("tokenizer.json", TOKENIZER)])
        .text_embedding
        .expect("is there");
    assert_eq!((fields.pooling, fields.dimensions), (Pooling::None, 4));
}

#[test]
fn text_models_that_do_something_else_are_called_with_tensors() {
    let classes = text_graph("logits", &["batch", "2"]);
    let other = [
        (
            &[("model.onnx", &classes[..]), ("tokenizer.json", TOKENIZER)][..],
            "none of its outputs",
        ),
        (&[("model.onnx", &embedder())], "no `tokenizer.json`"),
        (
            &[
                ("model.onnx", &embedder()),
                ("tokenizer.json", TOKENIZER),
                ("1_Pooling/config.json", br#"{"pooling_mode_max_tokens": true}"#),
            ],
            "`max_tokens` is not supported",
        ),
        (
            &[
                ("model.onnx", &embedder()),
                ("tokenizer.json", TOKENIZER),
                (
                    "modules.json",
                    br#"[{"type": "sentence_transformers.models.Dense", "path": "2_Dense"}]"#,
                ),
            ],
            "`sentence_transformers.models.Dense`",
        ),
    ];
    for (files, told) in other {
        let found = look(files).expect("is recognized");
        assert_eq!(found.manifest.task, Task::Tensors);
        assert!(
            found.warnings.iter().any(|warning| warning.contains(told)),
            "{:?}",
            found.warnings
        );
    }
}

#[test]
fn triton_repositories_are_recognized_by_their_newest_version() {
    let config = b"name: \"m\"\nplatform: \"onnxruntime_onnx\"\nmax_batch_size: 8\n";
    let graph = onnx::adder();
    let old = [0; 3];
    for prefix in ["", "m/", "repository/m/"] {
        let paths = [
            format!("{prefix}config.pbtxt"),
            format!("{prefix}9/model.onnx"),
            format!("{prefix}10/model.onnx"),
        ];
        let files: [(&str, &[u8]); 3] = [(&paths[0], config), (&paths[1], &old), (&paths[2], &graph)];
        let manifest = manifest(&files);
        assert_eq!((manifest.graph, manifest.task), (paths[2].clone(), Task::Tensors));
    }
}

#[test]
fn several_graphs_need_a_statement() {
    let (one, other) = (onnx::adder(), embedder());
    let both: &[(&str, &[u8])] = &[("onnx/encoder.onnx", &one), ("onnx/decoder.onnx", &other)];
    let told = refusal(both);
    assert_eq!(told.code, "model_ambiguous_graph");
    assert!(
        told.message.contains("`onnx/decoder.onnx`, `onnx/encoder.onnx`"),
        "{told}"
    );
    // A variant beside the usual name is not in the way.
    let variants: &[(&str, &[u8])] = &[("onnx/model.onnx", &one), ("onnx/model_fp16.onnx", &other)];
    assert_eq!(manifest(variants).graph, "onnx/model.onnx");
    let stated = [both, &[("berth.yaml", b"graph: onnx/encoder.onnx\n")]].concat();
    assert_eq!(manifest(&stated).graph, "onnx/encoder.onnx");
    let copies: &[(&str, &[u8])] = &[("model.onnx", &one), ("onnx/model.onnx", &one)];
    assert_eq!(manifest(copies).graph, "model.onnx");
    let contradiction: &[(&str, &[u8])] = &[("model.onnx", &one), ("onnx/model.onnx", &other)];
    assert_eq!(refusal(contradiction).code, "model_ambiguous_graph");
}

#[test]
fn statement_overrides_what_would_be_guessed() {
    let statement = br"
task: text_embedding
license: MIT
outputs:
  - {name: last_hidden_state, datatype: FP32, shape: [batch, tokens, 4]}
text_embedding:
  pooling: cls
  normalize: false
  max_tokens: 64
batching:
  padding_is_safe: false
  rows_depend_on_neighbors: true
";
    let manifest = manifest(&[
        ("model.onnx", &embedder()),
        ("tokenizer.json", TOKENIZER),
        ("berth.yaml", statement),
    ]);
    let fields = manifest.text_embedding.expect("is there");
    assert_eq!(
        (fields.pooling, fields.normalize, fields.max_tokens),
        (Pooling::Cls, false, 64)
    );
    assert!(!manifest.batching.padding_is_safe && manifest.batching.rows_depend_on_neighbors);
    assert_eq!(
        manifest.outputs[0].shape[1],
        Dimension::Symbolic("tokens".to_owned())
    );
    assert_eq!(manifest.license.as_deref(), Some("MIT"));
    assert_eq!(manifest.guessed, Vec::<String>::new());
}

#[test]
fn statement_may_choose_tensors_for_a_text_model() {
    let files: &[(&str, &[u8])] = &[
        ("model.onnx", &embedder()),
        ("tokenizer.json", TOKENIZER),
        ("berth.yaml", b"task: tensors\n"),
    ];
    assert_eq!(manifest(files).task, Task::Tensors);
    assert_eq!(
        manifest(&[("model.onnx", &onnx::adder()), ("berth.yaml", b"# nothing yet\n")]).task,
        Task::Tensors
    );
}

#[test]
fn wrong_statements_are_told_what_to_change() {
    for (statement, told) in [
        ("tasks: tensors", "unknown field `tasks`"),
        ("task: guess", "unknown variant `guess`"),
        (
            "graph: ../model.onnx",
            "`../model.onnx`, which is not in the folder",
        ),
        (
            "task: tensors\ntext_embedding: {pooling: mean}",
            "does not go with `task: tensors`",
        ),
        (
            "text_embedding: {tokenizer: other.json}",
            "`other.json`, which is not there",
        ),
        (
            "text_embedding: {output: nothing}",
            "`nothing`, which the graph has not",
        ),
        ("text_embedding: {pooling: none}", "is a vector per token"),
        ("text_embedding: {pooling: maximum}", "unknown variant `maximum`"),
        ("text_embedding: {max_tokens: 0}", "is 1 to 1000000"),
        ("text_embedding: {max_tokens: -1}", "max_tokens"),
        ("text_embedding: {dimensions: 5}", "is 4 in the graph, not 5"),
        (
            "inputs: [{name: other, datatype: FP32, shape: []}]",
            "`other`, which the graph has not",
        ),
        (
            "inputs: [{name: input_ids, datatype: FP32, shape: [-1, -1]}]",
            "is INT64 in the graph",
        ),
        (
            "outputs: [{name: last_hidden_state, datatype: FP32, shape: [-1, -1, 5]}]",
            "not what the graph says",
        ),
        (
            "outputs: [{name: last_hidden_state, datatype: FP32, shape: [-1, -1]}]",
            "not what the graph says",
        ),
        ("license: ''", "`license` has 1 to 200"),
        ("batching: {padding: true}", "unknown field `padding`"),
        ("[1, 2]", "invalid type"),
    ] {
        let refusal = refusal(&[
            ("model.onnx", &embedder()),
            ("tokenizer.json", TOKENIZER),
            ("berth.yaml", statement.as_bytes()),
        ]);
        assert_eq!(
            (refusal.code.as_str(), refusal.path.as_deref()),
            ("manifest_invalid", Some("berth.yaml"))
        );
        assert!(refusal.message.contains(told), "{statement}: {refusal}");
    }
    let misnamed = refusal(&[("model.onnx", &embedder()), ("berth.yml", b"task: tensors")]);
    assert!(misnamed.message.contains("call it `berth.yaml`"), "{misnamed}");
}

#[test]
fn text_embedding_is_not_taken_from_a_graph_that_cannot() {
    let adder = onnx::adder();
    let told = refusal(&[("model.onnx", &adder), ("berth.yaml", b"task: text_embedding")]);
    assert!(
        told.message
            .contains("the graph's input `x` is none of input_ids"),
        "{told}"
    );
    let told = refusal(&[
        ("model.onnx", &embedder()),
        ("berth.yaml", b"task: text_embedding"),
    ]);
    assert!(told.message.contains("needs a `tokenizer.json`"), "{told}");
}

#[test]
fn broken_companions_are_named() {
    let with = |name, content: &[u8]| {
        refusal(&[
            ("model.onnx", &embedder()),
            ("tokenizer.json", TOKENIZER),
            (name, content),
        ])
    };
    for (name, content) in [
        ("config.json", &b"{"[..]),
        ("modules.json", b"not json"),
        ("config.json", b"\xFF\xFE"),
        ("berth.yaml", b"\xFF\xFE"),
    ] {
        let refusal = with(name, content);
        assert_eq!(
            (refusal.code.as_str(), refusal.path.as_deref()),
            ("manifest_invalid", Some(name))
        );
    }
    let pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n";
    let refusal = refusal(&[("model.onnx", &embedder()), ("tokenizer.json", pointer)]);
    assert_eq!(refusal.code, "model_file_is_pointer");
    assert!(Path::new(&refusal.path.expect("a path")).ends_with("tokenizer.json"));
}
