//! Files of torch.save, made byte by byte.

use std::io::{Cursor, Write};

use mlff_student::model::format::Tensors;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

/// A pickle in the making; methods append instructions.
#[derive(Clone, Default)]
pub struct Pickle(pub Vec<u8>);

impl Pickle {
    pub fn new() -> Self {
        Self(b"\x80\x02".to_vec())
    }

    pub fn op(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    pub fn global(self, module: &str, name: &str) -> Self {
        self.op(format!("c{module}\n{name}\n").as_bytes())
    }

    pub fn text(self, text: &str) -> Self {
        self.op(b"X").op(&(text.len() as u32).to_le_bytes()).op(text.as_bytes())
    }

    pub fn int(self, value: usize) -> Self {
        self.op(b"\x8a\x08").op(&(value as u64).to_le_bytes())
    }

    pub fn sizes(self, sizes: &[usize]) -> Self {
        sizes.iter().fold(self.op(b"("), |pickle, &size| pickle.int(size)).op(b"t")
    }

    /// `_rebuild_tensor_v2` of a view.
    pub fn tensor(self, view: &View) -> Self {
        self.global("torch._utils", "_rebuild_tensor_v2")
            .op(b"((")
            .text("storage")
            .global("torch", view.class)
            .text(&view.key)
            .text("cpu")
            .int(view.count)
            .op(b"tQ")
            .int(view.offset)
            .sizes(&view.shape)
            .sizes(&view.strides)
            .op(b"\x89ccollections\nOrderedDict\n)RtR")
    }

    pub fn end(self) -> Vec<u8> {
        self.op(b".").0
    }
}

#[derive(Clone, Debug)]
pub struct View {
    pub class: &'static str,
    pub key: String,
    pub count: usize,
    pub offset: usize,
    pub shape: Vec<usize>,
    pub strides: Vec<usize>,
}

/// A contiguous tensor that is all of its storage.
pub fn whole(key: usize, shape: &[usize]) -> View {
    let mut strides = vec![1; shape.len()];
    for axis in (1..shape.len()).rev() {
        strides[axis - 1] = strides[axis] * shape[axis];
    }
    let count = shape.iter().product();
    let (key, shape) = (key.to_string(), shape.to_vec());
    View { class: "FloatStorage", key, count, offset: 0, shape, strides }
}

pub fn float32(values: &[f64]) -> Vec<u8> {
    values.iter().flat_map(|&value| (value as f32).to_le_bytes()).collect()
}

/// The tensors of a bag as a state dict in float32: the pickle and the storages by number.
pub fn state_dict(bag: &Tensors) -> (Pickle, Vec<Vec<u8>>) {
    let mut pickle = Pickle::new().op(b"}(");
    let mut storages = Vec::new();
    for (name, tensor) in &bag.tensors {
        pickle = pickle.text(name).tensor(&whole(storages.len(), &tensor.shape));
        storages.push(float32(&tensor.values));
    }
    (pickle.op(b"u"), storages)
}

/// The archive of `torch.save`.
pub fn archive(pickle: &[u8], storages: &[Vec<u8>], byte_order: &str) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    let mut add = |name: String, bytes: &[u8]| {
        zip.start_file(name, options).unwrap();
        zip.write_all(bytes).unwrap();
    };
    add("archive/data.pkl".into(), pickle);
    add("archive/byteorder".into(), byte_order.as_bytes());
    for (key, bytes) in storages.iter().enumerate() {
        add(format!("archive/data/{key}"), bytes);
    }
    zip.finish().unwrap().into_inner()
}

/// What torch.save wrote before archives.
pub fn legacy(pickle: &[u8], storages: &[Vec<u8>]) -> Vec<u8> {
    let magic = b"\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19";
    let mut file = Pickle::new().op(magic).end();
    file.extend(Pickle::new().op(b"M\xe9\x03").end());
    file.extend(Pickle::new().op(b"}(").text("little_endian").op(b"\x88u").end());
    file.extend_from_slice(pickle);
    let keys = (0..storages.len()).fold(Pickle::new().op(b"]("), |p, key| p.text(&key.to_string()));
    file.extend(keys.op(b"e").end());
    for bytes in storages {
        file.extend_from_slice(&(bytes.len() as u64 / 4).to_le_bytes());
        file.extend_from_slice(bytes);
    }
    file
}
