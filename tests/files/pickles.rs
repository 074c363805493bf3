//! PyTorch files: every layout of tensors is read as torch would, and nothing in them is run.

use crate::support::bags;
use crate::support::bags::torch::{Pickle, View, archive, legacy, state_dict};
use crate::support::bags::{content, load_bag, load_bytes, refused};
use mlff_student::ErrorKind;
use mlff_student::model::Model;

/// The network that these tests wrap in many ways.
fn student() -> Model {
    content(load_bag(&bags::published(8, 2, 5)).unwrap())
}

fn refused_as_code(pickle: Pickle, name: &str) {
    let file = archive(&pickle.clone().end(), &[], "little");
    refused(load_bytes(&file), ErrorKind::Format, &["asks for code", name, "state_dict"]);
    let file = legacy(&pickle.end(), &[]);
    refused(load_bytes(&file), ErrorKind::Format, &["asks for code", name]);
}

#[test]
fn a_pickle_that_calls_a_function_is_refused_and_not_run() {
    let folder = tempfile::tempdir().unwrap();
    let trace = folder.path().join("trace");
    let command = format!("touch {}", trace.display());
    // What `pickle.dumps` writes for an object whose __reduce__ returns (os.system, (command,)).
    let call = |pickle: Pickle| pickle.global("os", "system").op(b"(").text(&command).op(b"tR");
    refused_as_code(call(Pickle::new()), "os.system");
    let nested = call(Pickle::new().op(b"}").text("state_dict").op(b"}").text("a"));
    refused_as_code(nested.op(b"ss"), "os.system");
    let stacked = Pickle::new().text("os").text("system").op(b"\x93(").text(&command).op(b"tR");
    refused_as_code(stacked, "os.system");
    assert!(!trace.exists());

    for (module, name) in [
        ("builtins", "eval"),
        ("builtins", "getattr"),
        ("torch", "load"),
        ("torch._utils", "_rebuild_wrapper_subclass"),
        ("__torch__", "Student"),
        ("__main__", "PaiNN"),
        ("numpy.core.multiarray", "_reconstruct"),
    ] {
        refused_as_code(Pickle::new().global(module, name).op(b")R"), &format!("{module}.{name}"));
        refused_as_code(Pickle::new().global(module, name), &format!("{module}.{name}"));
    }
}

#[test]
fn calls_by_other_instructions_are_refused() {
    for instruction in [&b"(ios\nsystem\n"[..], b"(o", b"\x82\x01", b"Pname\n", b"))\x81", b"NNb"] {
        refused_as_code(Pickle::new().op(instruction), "");
    }
    // An allowed name called with another one's arguments.
    let pickle = Pickle::new().global("torch._utils", "_rebuild_tensor_v2").op(b")R").end();
    refused(load_bytes(&archive(&pickle, &[], "little")), ErrorKind::Format, &["arguments"]);
}

#[test]
fn archives_and_older_files_give_the_same_model() {
    let (pickle, storages) = state_dict(&bags::published(8, 2, 5));
    let pickle = pickle.end();
    let model = load_bytes(&archive(&pickle, &storages, "little")).unwrap();
    assert_eq!(content(model), student());
    let model = load_bytes(&legacy(&pickle, &storages)).unwrap();
    assert_eq!(content(model), student());
}

#[test]
fn big_endian_files_are_turned_around() {
    let (pickle, mut storages) = state_dict(&bags::published(8, 2, 5));
    storages.iter_mut().for_each(|bytes| bytes.chunks_exact_mut(4).for_each(<[u8]>::reverse));
    let model = load_bytes(&archive(&pickle.end(), &storages, "big")).unwrap();
    assert_eq!(content(model), student());
}

#[test]
fn weights_are_found_under_the_names_of_training_scripts() {
    let (weights, storages) = state_dict(&bags::published(8, 2, 5));
    let weights = &weights.0[2..];
    for path in [
        &["model_state_dict"][..],
        &["state_dict"],
        &["model"],
        &["ema", "shadow"],
        &["checkpoint", "model", "state_dict"],
        &["some_other_name"],
    ] {
        let mut pickle = Pickle::new();
        for name in path {
            pickle = pickle.op(b"}").text("epoch").op(b"K\x07s").text(name);
        }
        pickle = pickle.op(weights).op(&vec![b's'; path.len()]);
        let model = load_bytes(&archive(&pickle.end(), &storages, "little"));
        assert_eq!(content(model.unwrap()), student(), "{path:?}");
    }
}

/// All tensors of the student in one storage, as `View`s that `place` makes of their offset.
fn in_one_storage(dtype: (&'static str, fn(f64) -> Vec<u8>), transposed: bool) -> Vec<u8> {
    let bag = bags::published(8, 2, 5);
    let (class, encode) = dtype;
    let mut bytes = encode(0.5);
    let mut at = 1;
    let count = 1 + bag.tensors.values().map(|tensor| tensor.values.len()).sum::<usize>();
    let mut pickle = Pickle::new().op(b"}(");
    for (name, tensor) in &bag.tensors {
        let (mut shape, mut values) = (tensor.shape.clone(), tensor.values.clone());
        let mut strides = vec![1; shape.len()];
        if let [rows, columns] = shape[..] {
            strides[0] = columns;
            if transposed {
                strides = vec![1, rows];
                let place = |at: usize| tensor.values[at % rows * columns + at / rows];
                values = (0..rows * columns).map(place).collect();
            }
        }
        shape.truncate(2);
        let view = View { class, key: "0".into(), count, offset: at, shape, strides };
        pickle = pickle.text(name).tensor(&view);
        at += values.len();
        bytes.extend(values.into_iter().flat_map(encode));
    }
    archive(&pickle.op(b"u").end(), &[bytes], "little")
}

#[test]
fn offsets_strides_and_widths_are_honoured() {
    let float: (_, fn(f64) -> Vec<u8>) = ("FloatStorage", |v| (v as f32).to_le_bytes().to_vec());
    let double: (_, fn(f64) -> Vec<u8>) = ("DoubleStorage", |v| v.to_le_bytes().to_vec());
    for dtype in [float, double] {
        for transposed in [false, true] {
            let model = load_bytes(&in_one_storage(dtype, transposed)).unwrap();
            assert_eq!(content(model), student(), "{} {transposed}", dtype.0);
        }
    }
    let half: (_, fn(f64) -> Vec<u8>) =
        ("HalfStorage", |v| half::f16::from_f64(v).to_le_bytes().to_vec());
    let bfloat: (_, fn(f64) -> Vec<u8>) =
        ("BFloat16Storage", |v| half::bf16::from_f64(v).to_le_bytes().to_vec());
    for (dtype, rounding) in [(half, 1e-3), (bfloat, 8e-3)] {
        let model = load_bytes(&in_one_storage(dtype, false)).unwrap();
        let exact = student().embedding;
        let worst = model.embedding.iter().zip(&exact).map(|(a, b)| (a - b).abs());
        let worst = worst.fold(0.0, f64::max);
        assert!(worst > 0.0 && worst < rounding, "{}: {worst}", dtype.0);
    }
}

/// The student with one more tensor in its state dict.
fn with_view(view: &View) -> Vec<u8> {
    let (pickle, storages) = state_dict(&bags::published(8, 2, 5));
    let pickle = pickle.op(b"(").text("extra").tensor(view).op(b"u").end();
    archive(&pickle, &storages, "little")
}

#[test]
fn views_outside_their_storage_are_refused() {
    let good = bags::torch::whole(0, &[8]);
    for (what, view) in [
        ("offset", View { offset: 100_000, ..good.clone() }),
        ("overflow", View { offset: usize::MAX - 3, ..good.clone() }),
        ("stride", View { strides: vec![100_000], ..good.clone() }),
        ("huge stride", View { strides: vec![usize::MAX / 2], ..good.clone() }),
        ("count", View { count: 1 << 40, ..good.clone() }),
        ("no storage", View { key: "99".into(), ..good.clone() }),
        ("path", View { key: "../data.pkl".into(), ..good.clone() }),
        ("ranks", View { strides: vec![1, 1], ..good.clone() }),
        ("dimensions", View { shape: vec![1; 50], strides: vec![1; 50], ..good.clone() }),
        ("expanded", View { shape: vec![1 << 40], strides: vec![0], ..good.clone() }),
        ("product", View { shape: vec![1 << 40, 1 << 40], strides: vec![0, 0], ..good.clone() }),
    ] {
        let error = load_bytes(&with_view(&view)).expect_err(what);
        assert_eq!(error.kind(), ErrorKind::Format, "{what}: {error}");
        assert!(!error.message().contains("nothing called extra"), "{what}: {error}");
    }
    let result = load_bytes(&with_view(&good));
    refused(result, ErrorKind::Format, &["nothing called extra"]);
}

#[test]
fn containers_that_share_or_hold_themselves_end() {
    // Each dictionary holds the one before twice: 2^60 paths.
    let mut laughs = Pickle::new().op(b"}q\x00");
    for depth in 0..60 {
        let (below, here) = (depth, depth + 1);
        laughs = laughs.op(b"}q").op(&[here]);
        for name in ["a", "b"] {
            laughs = laughs.text(name).op(b"h").op(&[below]).op(b"s");
        }
    }
    // A name of a megabyte, used for a million entries.
    let mut names = Pickle::new().text(&"x".repeat(1 << 20)).op(b"q\x000}(");
    for _ in 0..1_000_000 {
        names = names.op(b"h\x00N");
    }
    let names = names.op(b"u");
    // A dictionary of entries without names, met again and again.
    let mut nameless = Pickle::new().op(b"}q\x00(");
    for _ in 0..200_000 {
        nameless = nameless.op(b"NN");
    }
    nameless = nameless.op(b"u0](");
    for _ in 0..20_000 {
        nameless = nameless.op(b"h\x00");
    }
    let nameless = nameless.op(b"e");
    let itself = Pickle::new().op(b"}q\x00").text("model").op(b"h\x00s");
    let started = std::time::Instant::now();
    for pickle in [laughs, names, nameless, itself] {
        let file = archive(&pickle.end(), &[], "little");
        assert_eq!(load_bytes(&file).unwrap_err().kind(), ErrorKind::Format);
    }
    // Without a bound the nameless ones take minutes.
    assert!(started.elapsed().as_secs() < 10);
}

#[test]
fn a_flipped_bit_of_a_weight_is_noticed() {
    let (pickle, storages) = state_dict(&bags::published(8, 2, 5));
    let mut file = archive(&pickle.end(), &storages, "little");
    let largest = storages.iter().max_by_key(|bytes| bytes.len()).unwrap();
    let at = file.windows(largest.len()).position(|bytes| bytes == &largest[..]).unwrap();
    assert!(load_bytes(&file).is_ok());
    file[at + 2] ^= 1;
    let error = load_bytes(&file).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Format);
    assert!(error.message().contains("the file is damaged"), "{error}");
}

#[test]
fn an_archive_of_many_ends_is_refused_at_once() {
    let mut file = b"PK\x03\x04".to_vec();
    for _ in 0..200_000 {
        file.extend_from_slice(b"PK\x05\x06\0\0\0\0\x01\0\x01\0\x2e\0\0\0\x04\0\0\0\0\0");
    }
    let started = std::time::Instant::now();
    assert_eq!(load_bytes(&file).unwrap_err().kind(), ErrorKind::Format);
    assert!(started.elapsed().as_secs() < 5);
}

#[test]
fn pickles_that_take_what_is_not_there_are_refused() {
    for pickle in [
        &b"."[..],
        b"",
        b"(.",
        b"a.",
        b"s.",
        b"u.",
        b"t.",
        b"]t.",
        b"](a.",
        b"R.",
        b"}R.",
        b"Q.",
        b"b.",
        b"h\x05.",
        b"j\xff\xff\xff\xff.",
        b"q\x00.",
        b"\x85.",
        b"}\x87.",
        b"(}\x85.",
        b"}(K\x01u.",
        b"N(NNu.",
        b"X\xff\xff\xff\xffabc.",
        b"\x8d\xff\xff\xff\xff\xff\xff\xff\xff.",
        b"\x8b\xff\xff\xff\xff.",
        b"\x8a\x20.",
        b"X\x02\0\0\0\xff\xfe.",
        b"cos",
        b"cos\nsystem",
        b"\xff.",
    ] {
        let mut bytes = b"\x80\x02".to_vec();
        bytes.extend_from_slice(pickle);
        let error = load_bytes(&archive(&bytes, &[], "little")).expect_err("must be refused");
        assert_eq!(error.kind(), ErrorKind::Format, "{pickle:?}: {error}");
    }
}

#[test]
fn plain_pickles_are_told_apart() {
    for protocol in [2, 4] {
        let file = [b"\x80", &[protocol][..], b"}."].concat();
        refused(load_bytes(&file), ErrorKind::Format, &["plain pickle", "torch.save"]);
    }
}

#[test]
fn compressed_and_missing_members_are_named() {
    let (pickle, storages) = state_dict(&bags::published(8, 1, 5));
    let file = archive(&pickle.end(), &storages, "little");
    // Method 8 (deflate) in the local header and in the directory of one member.
    let mut compressed = file.clone();
    let name = b"archive/data/3";
    for (signature, method, start) in [(b"PK\x03\x04", 8, 30), (b"PK\x01\x02", 10, 46)] {
        let at = (0..file.len() - 60)
            .find(|&at| file[at..].starts_with(signature) && file[at + start..].starts_with(name));
        compressed[at.unwrap() + method] = 8;
    }
    refused(load_bytes(&compressed), ErrorKind::Format, &["archive/data/3", "compressed"]);

    let plain = archive(b"", &[], "little");
    let named = |from: &[u8], to: &[u8]| {
        let mut file = plain.clone();
        while let Some(at) = file.windows(from.len()).position(|part| part == from) {
            file[at..at + to.len()].copy_from_slice(to);
        }
        file
    };
    let other = named(b"archive/data.pkl", b"archive/data.txt");
    refused(load_bytes(&other), ErrorKind::Format, &["data.pkl", "torch.save"]);
}
