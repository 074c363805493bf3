//! ONNX files: weights are read however an exporter wrote their numbers.

use crate::support::bags;
use crate::support::bags::{content, load_bag, load_bytes, refused};
use mlff_student::ErrorKind;
use mlff_student::model::format::{Tensor, Tensors};

fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

fn number(field: u64, value: u64) -> Vec<u8> {
    [varint(field << 3), varint(value)].concat()
}

fn message(field: u64, bytes: &[u8]) -> Vec<u8> {
    [varint(field << 3 | 2), varint(bytes.len() as u64), bytes.to_vec()].concat()
}

/// How a tensor's numbers are written: data type and field.
#[derive(Clone, Copy)]
enum Style {
    RawFloat,
    PackedFloat,
    SingleFloat,
    PackedDouble,
    RawDouble,
    HalfAsInt32,
}

fn tensor(name: &str, tensor: &Tensor, style: Style) -> Vec<u8> {
    let float =
        || -> Vec<u8> { tensor.values.iter().flat_map(|&v| (v as f32).to_le_bytes()).collect() };
    let double = || -> Vec<u8> { tensor.values.iter().flat_map(|v| v.to_le_bytes()).collect() };
    let (data_type, data) = match style {
        Style::RawFloat => (1, message(9, &float())),
        Style::PackedFloat => (1, message(4, &float())),
        Style::SingleFloat => {
            let single = |bytes: &[u8]| [varint(4 << 3 | 5), bytes.to_vec()].concat();
            (1, float().chunks(4).flat_map(single).collect())
        }
        Style::PackedDouble => (11, message(10, &double())),
        Style::RawDouble => (11, message(9, &double())),
        Style::HalfAsInt32 => {
            let bits = |&v: &f64| varint(u64::from(half::f16::from_f64(v).to_bits()));
            (10, message(5, &tensor.values.iter().flat_map(bits).collect::<Vec<u8>>()))
        }
    };
    let shape: Vec<u8> = match style {
        Style::RawDouble => {
            message(1, &tensor.shape.iter().flat_map(|&n| varint(n as u64)).collect::<Vec<u8>>())
        }
        _ => tensor.shape.iter().flat_map(|&n| number(1, n as u64)).collect(),
    };
    [shape, number(2, data_type), message(8, name.as_bytes()), data].concat()
}

fn model(graph: &[u8]) -> Vec<u8> {
    [number(1, 7), message(2, b"pytorch"), message(7, graph)].concat()
}

fn graph(bag: &Tensors, style: Style) -> Vec<u8> {
    bag.tensors.iter().flat_map(|(name, t)| message(5, &tensor(name, t, style))).collect()
}

#[test]
fn every_way_of_writing_numbers_is_read() {
    let bag = bags::published(8, 2, 5);
    let plain = content(load_bag(&bag).unwrap());
    for style in [
        Style::RawFloat,
        Style::PackedFloat,
        Style::SingleFloat,
        Style::PackedDouble,
        Style::RawDouble,
    ] {
        assert_eq!(content(load_bytes(&model(&graph(&bag, style))).unwrap()), plain);
    }
    let half = load_bytes(&model(&graph(&bag, Style::HalfAsInt32))).unwrap();
    let rounded: Vec<f64> =
        plain.embedding.iter().map(|&value| half::f16::from_f64(value).to_f64()).collect();
    assert_eq!(half.embedding, rounded);
}

#[test]
fn weights_that_equal_others_are_found_through_identity_nodes() {
    let mut bag = bags::published(8, 2, 5);
    let [first, second] = [0, 1].map(|n| format!("interactions.{n}.update.update_mlp.0.bias"));
    let shared = bag.tensors[&first].clone();
    bag.tensors.insert(second.clone(), shared);
    let plain = content(load_bag(&bag).unwrap());
    bag.tensors.remove(&second);
    assert!(load_bag(&bag).is_err());
    let node =
        [message(1, first.as_bytes()), message(2, second.as_bytes()), message(4, b"Identity")];
    let graph = [message(1, &node.concat()), graph(&bag, Style::RawFloat)].concat();
    assert_eq!(content(load_bytes(&model(&graph)).unwrap()), plain);
}

#[test]
fn constants_of_the_exporter_are_no_weights() {
    let bag = bags::published(8, 1, 5);
    let mut more = bag.clone();
    for name in ["onnx::Slice_7", "/interactions.0/Constant_output_0"] {
        more.tensors.insert(name.into(), Tensor { shape: vec![1], values: vec![2.0] });
    }
    let loaded = load_bytes(&model(&graph(&more, Style::RawFloat))).unwrap();
    assert_eq!(content(loaded), content(load_bag(&bag).unwrap()));
}

#[test]
fn weights_that_are_not_in_the_file_are_asked_for() {
    let outside = [number(1, 8), number(2, 1), message(8, b"energy_head.4.bias"), number(14, 1)];
    let file = model(&message(5, &outside.concat()));
    refused(load_bytes(&file), ErrorKind::Unsupported, &["energy_head.4.bias", "another file"]);
    let node = message(1, &message(4, b"Relu"));
    refused(load_bytes(&model(&node)), ErrorKind::Format, &["found none", "export_params"]);
}

#[test]
fn damaged_tensors_are_refused() {
    let good = [number(1, 2), number(2, 1), message(8, b"rbf.centers")].concat();
    for (what, rest) in [
        ("too few bytes", message(9, &[0; 7])),
        ("no numbers", vec![]),
        ("negative length", [number(1, u64::MAX), message(9, &[0; 8])].concat()),
        ("huge shape", [number(1, 1 << 40), number(1, 1 << 40), message(9, &[0; 8])].concat()),
        ("huge shape, no data", [number(1, 1 << 40)].concat()),
        ("string type", [number(2, 8), message(9, &[0; 8])].concat()),
        ("wire type 3", varint(9 << 3 | 3)),
        ("endless number", vec![0xff; 12]),
        ("name that is no text", message(8, &[0xff])),
    ] {
        let file = model(&message(5, &[good.clone(), rest].concat()));
        let error = load_bytes(&file).expect_err(what);
        let kinds = [ErrorKind::Format, ErrorKind::Unsupported];
        assert!(kinds.contains(&error.kind()), "{what}: {error}");
        assert!(!error.message().contains("is missing"), "{what} was read: {error}");
    }
}
