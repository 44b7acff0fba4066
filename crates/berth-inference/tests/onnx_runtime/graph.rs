//! Writes small ONNX graphs, in just enough of protocol buffers.

/// Element types as ONNX numbers them.
pub(crate) const FLOAT: u64 = 1;
pub(crate) const INT64: u64 = 7;
pub(crate) const BOOL: u64 = 9;

/// One extent of a declared shape.
#[derive(Clone, Copy)]
pub(crate) enum Extent {
    Fixed(u64),
    Named(&'static str),
    Open,
}

/// A message under construction.
#[derive(Clone, Default)]
pub(crate) struct Message(Vec<u8>);

impl Message {
    fn key(&mut self, field: u64, kind: u64) {
        self.raw(field << 3 | kind);
    }

    fn raw(&mut self, mut value: u64) {
        loop {
            let byte = u8::try_from(value & 0x7f).expect("seven bits");
            value >>= 7;
            self.0.push(if value == 0 { byte } else { byte | 0x80 });
            if value == 0 {
                return;
            }
        }
    }

    pub(crate) fn number(mut self, field: u64, value: u64) -> Self {
        self.key(field, 0);
        self.raw(value);
        self
    }

    pub(crate) fn bytes(mut self, field: u64, value: &[u8]) -> Self {
        self.key(field, 2);
        self.raw(value.len() as u64);
        self.0.extend_from_slice(value);
        self
    }

    pub(crate) fn text(self, field: u64, value: &str) -> Self {
        self.bytes(field, value.as_bytes())
    }

    pub(crate) fn message(self, field: u64, value: &Self) -> Self {
        self.bytes(field, &value.0)
    }

    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.0
    }
}

/// A declared input or output of a tensor type.
pub(crate) fn tensor(name: &str, element: u64, shape: &[Extent]) -> Message {
    let shape = shape.iter().fold(Message::default(), |shape, extent| {
        let dimension = match *extent {
            Extent::Fixed(value) => Message::default().number(1, value),
            Extent::Named(name) => Message::default().text(2, name),
            Extent::Open => Message::default(),
        };
        shape.message(1, &dimension)
    });
    let tensor = Message::default().number(1, element).message(2, &shape);
    Message::default()
        .text(1, name)
        .message(2, &Message::default().message(1, &tensor))
}

/// A constant.
pub(crate) fn initializer(name: &str, element: u64, dims: &[u64], raw: &[u8]) -> Message {
    dims.iter()
        .fold(Message::default(), |tensor, &dim| tensor.number(1, dim))
        .number(2, element)
        .text(8, name)
        .bytes(9, raw)
}

/// An operator.
pub(crate) fn node(operator: &str, inputs: &[&str], outputs: &[&str]) -> Message {
    let node = inputs
        .iter()
        .fold(Message::default(), |node, name| node.text(1, name));
    outputs
        .iter()
        .fold(node, |node, name| node.text(2, name))
        .text(3, &format!("the_{}", operator.to_lowercase()))
        .text(4, operator)
}

/// An attribute that is a graph.
pub(crate) fn graph_attribute(name: &str, graph: &Message) -> Message {
    Message::default().text(1, name).message(6, graph).number(20, 5)
}

/// A graph of these parts.
pub(crate) fn graph(
    nodes: &[Message],
    constants: &[Message],
    inputs: &[Message],
    outputs: &[Message],
) -> Message {
    let parts = [(1, nodes), (5, constants), (11, inputs), (12, outputs)];
    parts
        .into_iter()
        .fold(Message::default().text(2, "g"), |graph, (field, messages)| {
            messages
                .iter()
                .fold(graph, |graph, message| graph.message(field, message))
        })
}

/// A whole model file.
pub(crate) fn model(graph: &Message) -> Vec<u8> {
    Message::default()
        .number(1, 8)
        .message(7, graph)
        .message(8, &Message::default().text(1, "").number(2, 18))
        .into_bytes()
}

/// A model that gives back what it gets.
pub(crate) fn identity(element: u64, shape: &[Extent]) -> Vec<u8> {
    model(&graph(
        &[node("Identity", &["x"], &["y"])],
        &[],
        &[tensor("x", element, shape)],
        &[tensor("y", element, shape)],
    ))
}

/// A model that turns in a loop `count` times; for large counts it runs as good as forever.
pub(crate) fn spinner() -> Vec<u8> {
    let body = graph(
        &[
            node("Identity", &["going"], &["go_on"]),
            node("Sin", &["value"], &["next"]),
        ],
        &[],
        &[
            tensor("turn", INT64, &[]),
            tensor("going", BOOL, &[]),
            tensor("value", FLOAT, &[Extent::Fixed(64)]),
        ],
        &[
            tensor("go_on", BOOL, &[]),
            tensor("next", FLOAT, &[Extent::Fixed(64)]),
        ],
    );
    model(&graph(
        &[node("Loop", &["count", "yes", "start"], &["end"]).message(5, &graph_attribute("body", &body))],
        &[initializer("yes", BOOL, &[], &[1])],
        &[
            tensor("count", INT64, &[]),
            tensor("start", FLOAT, &[Extent::Fixed(64)]),
        ],
        &[tensor("end", FLOAT, &[Extent::Fixed(64)])],
    ))
}
