//! Small ONNX models, written field by field: good ones that run, and the parts to make bad ones of.
//!
//! The numbers are field numbers of `onnx.proto`.

/// The message of a protobuf, being written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Message(Vec<u8>);

impl Message {
    /// An empty message.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a number (or enumeration, or boolean).
    #[must_use]
    pub fn number(mut self, field: u32, value: i64) -> Self {
        self.tag(field, 0);
        self.varint(value.cast_unsigned());
        self
    }

    /// Adds bytes.
    #[must_use]
    pub fn bytes(mut self, field: u32, bytes: &[u8]) -> Self {
        self.tag(field, 2);
        self.varint(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
        self
    }

    /// Adds a text.
    #[must_use]
    pub fn text(self, field: u32, text: &str) -> Self {
        self.bytes(field, text.as_bytes())
    }

    /// Adds a message.
    #[must_use]
    pub fn message(self, field: u32, message: &Self) -> Self {
        self.bytes(field, &message.0)
    }

    /// Adds several messages to a repeated field.
    #[must_use]
    pub fn messages<'a>(self, field: u32, messages: impl IntoIterator<Item = &'a Self>) -> Self {
        messages
            .into_iter()
            .fold(self, |whole, message| whole.message(field, message))
    }

    /// Adds bytes as they are, field or not.
    #[must_use]
    pub fn raw(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    /// The bytes.
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    fn tag(&mut self, field: u32, wire_type: u64) {
        self.varint(u64::from(field) << 3 | wire_type);
    }

    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value.to_le_bytes()[0] | 0x80);
            value >>= 7;
        }
        self.0.push(value.to_le_bytes()[0]);
    }
}

/// `TensorProto.DataType`.
pub mod element {
    /// 32-bit float.
    pub const FLOAT: i64 = 1;
    /// 8-bit unsigned.
    pub const UINT8: i64 = 2;
    /// 8-bit integer.
    pub const INT8: i64 = 3;
    /// 16-bit unsigned.
    pub const UINT16: i64 = 4;
    /// 16-bit integer.
    pub const INT16: i64 = 5;
    /// 32-bit integer.
    pub const INT32: i64 = 6;
    /// 64-bit integer.
    pub const INT64: i64 = 7;
    /// Text.
    pub const STRING: i64 = 8;
    /// Truth value.
    pub const BOOL: i64 = 9;
    /// 16-bit float.
    pub const FLOAT16: i64 = 10;
    /// 64-bit float.
    pub const DOUBLE: i64 = 11;
    /// 32-bit unsigned.
    pub const UINT32: i64 = 12;
    /// 64-bit unsigned.
    pub const UINT64: i64 = 13;
    /// The other 16-bit float, with the range of 32 bits.
    pub const BFLOAT16: i64 = 16;
}

/// A tensor with its bytes inside.
pub fn tensor(name: &str, element_type: i64, dimensions: &[i64], raw: &[u8]) -> Message {
    dimensions
        .iter()
        .fold(Message::new(), |tensor, &dimension| tensor.number(1, dimension))
        .number(2, element_type)
        .text(8, name)
        .bytes(9, raw)
}

/// A tensor of floats.
pub fn floats(name: &str, dimensions: &[i64], values: &[f32]) -> Message {
    let raw: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    tensor(name, element::FLOAT, dimensions, &raw)
}

/// A tensor of 64-bit integers.
pub fn integers(name: &str, dimensions: &[i64], values: &[i64]) -> Message {
    let raw: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    tensor(name, element::INT64, dimensions, &raw)
}

/// A tensor whose values lie in another file: `entries` are its keys and values (`location`, `offset`, `length`).
pub fn external(name: &str, element_type: i64, dimensions: &[i64], entries: &[(&str, &str)]) -> Message {
    let tensor = dimensions
        .iter()
        .fold(Message::new(), |tensor, &dimension| tensor.number(1, dimension))
        .number(2, element_type)
        .text(8, name);
    entries
        .iter()
        .fold(tensor, |tensor, (key, value)| {
            tensor.message(13, &Message::new().text(1, key).text(2, value))
        })
        .number(14, 1)
}

/// An input or output of a graph; each dimension is a number, or a name when it is open.
pub fn port(name: &str, element_type: i64, shape: &[&str]) -> Message {
    let dimensions: Vec<_> = shape
        .iter()
        .map(|dimension| match dimension.parse() {
            Ok(extent) => Message::new().number(1, extent),
            Err(_) => Message::new().text(2, dimension),
        })
        .collect();
    let shape = Message::new().messages(1, &dimensions);
    let tensor_type = Message::new().number(1, element_type).message(2, &shape);
    Message::new()
        .text(1, name)
        .message(2, &Message::new().message(1, &tensor_type))
}

/// A node of the standard operators.
pub fn node(operator: &str, inputs: &[&str], outputs: &[&str], attributes: &[Message]) -> Message {
    node_of("", operator, inputs, outputs, attributes)
}

/// A node of the operators of `domain`.
pub fn node_of(
    domain: &str,
    operator: &str,
    inputs: &[&str],
    outputs: &[&str],
    attributes: &[Message],
) -> Message {
    let node = inputs
        .iter()
        .fold(Message::new(), |node, input| node.text(1, input));
    let node = outputs.iter().fold(node, |node, output| node.text(2, output));
    node.text(4, operator).messages(5, attributes).text(7, domain)
}

/// An attribute that is an integer.
pub fn integer_attribute(name: &str, value: i64) -> Message {
    Message::new().text(1, name).number(3, value).number(20, 2)
}

/// An attribute that is a list of integers.
pub fn integers_attribute(name: &str, values: &[i64]) -> Message {
    values
        .iter()
        .fold(Message::new().text(1, name), |attribute, &value| {
            attribute.number(8, value)
        })
        .number(20, 7)
}

/// An attribute that is a text.
pub fn text_attribute(name: &str, value: &str) -> Message {
    Message::new().text(1, name).text(4, value).number(20, 3)
}

/// An attribute that is a tensor.
pub fn tensor_attribute(name: &str, value: &Message) -> Message {
    Message::new().text(1, name).message(5, value).number(20, 4)
}

/// An attribute that is a graph.
pub fn graph_attribute(name: &str, value: &Message) -> Message {
    Message::new().text(1, name).message(6, value).number(20, 5)
}

/// A graph of these parts.
pub fn graph(nodes: &[Message], weights: &[Message], inputs: &[Message], outputs: &[Message]) -> Message {
    Message::new()
        .messages(1, nodes)
        .text(2, "graph")
        .messages(5, weights)
        .messages(11, inputs)
        .messages(12, outputs)
}

/// An operator set.
pub fn opset(domain: &str, version: i64) -> Message {
    Message::new().text(1, domain).number(2, version)
}

/// A model around `graph`, with operator set 17 of the standard operators and set 1 of the runtime's own.
pub fn model(graph: &Message) -> Message {
    Message::new()
        .number(1, 8)
        .text(2, "berth-tests")
        .message(7, graph)
        .message(8, &opset("", 17))
        .message(8, &opset("com.microsoft", 1))
}

/// A model that runs: `y = x + weight`, for floats of shape `[rows, 3]`; the weight is 0.5, 1.5, 2.5.
pub fn adder() -> Vec<u8> {
    model(&graph(
        &[node("Add", &["x", "weight"], &["y"], &[])],
        &[floats("weight", &[3], &[0.5, 1.5, 2.5])],
        &[port("x", element::FLOAT, &["rows", "3"])],
        &[port("y", element::FLOAT, &["rows", "3"])],
    ))
    .into_bytes()
}

/// A model that runs: turns `count` times in a loop over `start`, 64 floats, and gives `end`. For large counts it runs as
/// good as forever.
pub fn spinner() -> Vec<u8> {
    let body = graph(
        &[
            node("Identity", &["going"], &["go_on"], &[]),
            node("Sin", &["value"], &["next"], &[]),
        ],
        &[],
        &[
            port("turn", element::INT64, &[]),
            port("going", element::BOOL, &[]),
            port("value", element::FLOAT, &["64"]),
        ],
        &[
            port("go_on", element::BOOL, &[]),
            port("next", element::FLOAT, &["64"]),
        ],
    );
    let turn = node(
        "Loop",
        &["count", "yes", "start"],
        &["end"],
        &[graph_attribute("body", &body)],
    );
    model(&graph(
        &[turn],
        &[tensor("yes", element::BOOL, &[], &[1])],
        &[
            port("count", element::INT64, &[]),
            port("start", element::FLOAT, &["64"]),
        ],
        &[port("end", element::FLOAT, &["64"])],
    ))
    .into_bytes()
}

/// A model that runs: each input `x` of the given name and element type, of shape `[rows]`, comes out as `x_out`.
pub fn echo(inputs: &[(&str, i64)]) -> Vec<u8> {
    let outputs: Vec<String> = inputs.iter().map(|(name, _)| format!("{name}_out")).collect();
    let both = || inputs.iter().zip(&outputs);
    let nodes: Vec<_> = both()
        .map(|((name, _), output)| node("Identity", &[name], &[output], &[]))
        .collect();
    let given: Vec<_> = inputs
        .iter()
        .map(|(name, element_type)| port(name, *element_type, &["rows"]))
        .collect();
    let had: Vec<_> = both()
        .map(|((_, element_type), output)| port(output, *element_type, &["rows"]))
        .collect();
    model(&graph(&nodes, &[], &given, &had)).into_bytes()
}

/// A model that runs and has the shape of a text embedder: `input_ids` and `attention_mask` to
/// `last_hidden_state` `[batch, sequence, 4]`, by a table of `vocabulary` rows in which token `t` has the vector
/// `[t, 1, -1, t / 2]`.
pub fn embedder(vocabulary: u16) -> Vec<u8> {
    let table: Vec<f32> = (0..vocabulary)
        .map(f32::from)
        .flat_map(|token| [token, 1.0, -1.0, token / 2.0])
        .collect();
    let ids = &["batch", "sequence"];
    model(&graph(
        &[
            node("Gather", &["table", "input_ids"], &["last_hidden_state"], &[]),
            // Read, so that no optimizer drops the input.
            node("Identity", &["attention_mask"], &["mask"], &[]),
        ],
        &[floats("table", &[i64::from(vocabulary), 4], &table)],
        &[
            port("input_ids", element::INT64, ids),
            port("attention_mask", element::INT64, ids),
        ],
        &[port(
            "last_hidden_state",
            element::FLOAT,
            &["batch", "sequence", "4"],
        )],
    ))
    .into_bytes()
}
