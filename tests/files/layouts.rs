//! Students come in from every file layout that users have them in, unchanged; bad files are
//! refused with a sentence and never bring the process down.

use crate::support::{bags, students};
use std::fs;
use std::path::Path;

use crate::support::bags::{content, load_bag, load_bytes, refused};
use crate::support::reference::reference;
use mlff_student::ErrorKind;
use mlff_student::model::format::{Tensor, Tensors, safetensors};
use mlff_student::model::{
    Architecture, Basis, EnergyRange, Envelope, EnvelopePlace, Linear, Model, Norm, SOURCE_FORMAT,
    Update,
};

fn load(name: &str) -> Model {
    Model::load(&reference(&format!("models/{name}"))).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
#[cfg_attr(not(reference_data), ignore = "needs ../shared/reference")]
fn every_reference_file_loads_and_says_what_it_was() {
    let expected = [
        ("painn-32-bessel.pt", "pytorch/schnetpack", 2, 32, 12, 99),
        ("painn-64-gaussian.pt", "pytorch/schnetpack", 3, 64, 20, 99),
        ("student-21k-wrapped.pt", "pytorch/published", 2, 32, 10, 100),
        ("student-21k.onnx", "onnx/published", 2, 32, 10, 100),
        ("student-427k-bare-state-dict.pt", "pytorch/published", 3, 128, 20, 100),
        ("student-427k-half.pt", "pytorch/published", 3, 128, 20, 100),
        ("student-427k-training-config.pt", "pytorch/published", 3, 128, 20, 100),
        ("student-427k.onnx", "onnx/published", 3, 128, 20, 100),
        ("student-427k.pt", "pytorch/published", 3, 128, 20, 100),
        ("student-77k-torchscript.pt", "torchscript/published", 2, 64, 12, 100),
        ("student-77k-wrapped.pt", "pytorch/published", 2, 64, 12, 100),
        ("student-77k.onnx", "onnx/published", 2, 64, 12, 100),
    ];
    let mut files: Vec<String> = fs::read_dir(reference("models"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    files.sort();
    assert_eq!(files, expected.map(|row| row.0));
    for (name, source, blocks, hidden, basis, elements) in expected {
        let model = load(name);
        assert_eq!(model.metadata[SOURCE_FORMAT], source, "{name}");
        assert_eq!(model.blocks.len(), blocks, "{name}");
        assert_eq!(model.hidden, hidden, "{name}");
        assert_eq!(model.basis.len(), basis, "{name}");
        assert_eq!(model.species, (1..=elements).collect::<Vec<u8>>(), "{name}");
        assert_eq!(model.cutoff, 5.0, "{name}");
    }
}

#[test]
#[cfg_attr(not(reference_data), ignore = "needs ../shared/reference")]
fn parameter_counts_are_the_published_ones() {
    for (name, parameters) in [
        ("student-427k.pt", 427_292),
        ("student-427k.onnx", 427_292),
        ("student-77k-torchscript.pt", 77_203),
        ("student-77k.onnx", 77_203),
        ("student-21k-wrapped.pt", 21_459),
    ] {
        assert_eq!(load(name).parameters(), parameters, "{name}");
    }
}

/// Exporters drop the last mixing matrix, which reaches no output.
fn with_identity_in_the_last_block(mut model: Model) -> Model {
    if let Some(Update::Published { mixing, .. }) =
        model.blocks.last_mut().map(|block| &mut block.update)
    {
        *mixing = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0];
    }
    model
}

#[test]
#[cfg_attr(not(reference_data), ignore = "needs ../shared/reference")]
fn the_same_student_is_the_same_model_in_every_layout() {
    let student = content(load("student-427k.pt"));
    assert_eq!(content(load("student-427k-training-config.pt")), student);
    assert_eq!(content(load("student-427k-bare-state-dict.pt")), student);
    assert_eq!(content(load("student-427k.onnx")), with_identity_in_the_last_block(student));

    let student = content(load("student-77k-wrapped.pt"));
    assert_eq!(content(load("student-77k-torchscript.pt")), student);
    assert_eq!(content(load("student-77k.onnx")), with_identity_in_the_last_block(student));

    let student = content(load("student-21k-wrapped.pt"));
    assert_eq!(content(load("student-21k.onnx")), with_identity_in_the_last_block(student));
}

#[test]
#[cfg_attr(not(reference_data), ignore = "needs ../shared/reference")]
fn half_weights_are_the_full_ones_rounded() {
    let (full, half) = (load("student-427k.pt"), load("student-427k-half.pt"));
    let rounded = |value: f64| half::f16::from_f32(value as f32).to_f64();
    let pairs = full.embedding.iter().zip(&half.embedding);
    assert!(pairs.clone().all(|(&full, &half)| rounded(full) == half));
    assert!(pairs.clone().any(|(full, half)| full != half));
    for (full, half) in full.head.iter().zip(&half.head) {
        let full: Vec<f64> = full.weight.iter().copied().map(rounded).collect();
        assert_eq!(full, half.weight);
    }
}

#[test]
#[cfg_attr(not(reference_data), ignore = "needs ../shared/reference")]
fn the_published_constants_are_filled_in() {
    let model = load("student-427k.pt");
    assert_eq!(model.architecture, Architecture::Published);
    assert_eq!(model.softening, 1e-8);
    assert!(model.reference_energies.iter().all(|&energy| energy == 0.0));
    assert!(model.blocks.iter().all(|block| block.filter.envelope == EnvelopePlace::Basis));
    let Basis::Gaussian { centers, exponents } = &model.basis else { panic!("Gaussians") };
    assert_eq!((centers[0], centers[19]), (0.0, 5.0));
    // widths of 0.25 Å
    assert_eq!(exponents, &vec![16.0; 20]);
}

#[test]
#[cfg_attr(not(reference_data), ignore = "needs ../shared/reference")]
fn saved_models_load_unchanged() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    for name in ["student-77k.onnx", "student-427k-half.pt", "painn-64-gaussian.pt"] {
        let mut model = load(name);
        model.metadata.insert("licence".into(), "MIT \"©\"\n".into());
        model.species = vec![1, 6, 8];
        model.reference_energies[8] = -2041.3;
        model.cutoff = 4.9;
        model.save(&path).unwrap();
        let again = Model::load(&path).unwrap();
        assert_eq!(again.metadata[SOURCE_FORMAT], "safetensors/mlff-student");
        assert_eq!(content(again), content(model), "{name}");
    }
    let left: Vec<_> = fs::read_dir(folder.path()).unwrap().collect();
    assert_eq!(left.len(), 1, "temporary files stay behind: {left:?}");
}

#[test]
#[cfg_attr(not(reference_data), ignore = "needs ../shared/reference")]
fn float32_weights_are_saved_in_float32() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    let model = load("student-427k.pt");
    model.save(&path).unwrap();
    let size = fs::metadata(&path).unwrap().len() as usize;
    assert!(size < 5 * model.parameters(), "{size} bytes");
}

#[test]
fn smooth_students_load_as_they_were_saved() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    let mut model = students::smooth(20, 2);
    for power in [1, 6, 32] {
        model.envelope = Envelope::Polynomial { power };
        model.save(&path).unwrap();
        assert_eq!(content(Model::load(&path).unwrap()), content(model.clone()));
    }
    model.energy_range = None;
    model.save(&path).unwrap();
    assert_eq!(content(Model::load(&path).unwrap()), content(model.clone()));
    model.repulsion = None;
    model.save(&path).unwrap();
    assert_eq!(content(Model::load(&path).unwrap()), content(model));
    let narrow = students::narrow(20, 6, 2);
    narrow.save(&path).unwrap();
    assert_eq!(content(Model::load(&path).unwrap()), content(narrow));
}

#[test]
fn a_file_says_version_2_where_an_older_library_would_compute_something_else() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    let version = |model: &Model| {
        model.save(&path).unwrap();
        let file = safetensors::read(&fs::read(&path).unwrap()).unwrap();
        file.settings["format_version"].clone()
    };
    let mut old = students::smooth(8, 2);
    old.energy_range = None;
    old.repulsion.as_mut().unwrap().core = 0.0;
    assert_eq!(version(&old), "1");
    let mut core = old.clone();
    core.repulsion.as_mut().unwrap().core = 0.5;
    assert_eq!(version(&core), "2");
    let range = Some(EnergyRange { bounds: vec![[-1.0, 1.0]; old.reference_energies.len()] });
    assert_eq!(version(&Model { energy_range: range, ..old }), "2");
    assert_eq!(version(&students::narrow(8, 4, 2)), "2");
}

#[test]
fn smooth_is_what_has_continuous_second_derivatives() {
    let smooth = students::smooth(8, 2);
    assert!(smooth.is_smooth());
    assert!(!Model { envelope: Envelope::Cosine, ..smooth }.is_smooth());
    assert!(!students::random(Architecture::Painn, 8, 2, &[]).is_smooth());
    let mut published = students::random(Architecture::Published, 8, 2, &[]);
    published.envelope = Envelope::Polynomial { power: 6 };
    assert!(!published.is_smooth());
}

#[test]
fn values_that_describe_no_student_are_refused_by_name() {
    type Damage = fn(&mut Model);
    let damages: [(&str, Damage); 14] = [
        ("repulsion.radii: expected zero or positive", |model| radii(model)[6] = -0.1),
        ("repulsion.radii: expected radii up to half the cutoff", |model| radii(model)[6] = 2.6),
        ("repulsion.radii: expected finite", |model| radii(model)[6] = f64::NAN),
        ("repulsion.radii: expected as many", |model| radii(model).truncate(8)),
        ("repulsion.core: expected a share", |model| {
            model.repulsion.as_mut().unwrap().core = 1.0;
        }),
        ("energy_range: expected lower bounds before", |model| bounds(model)[6] = [1.0, 0.5]),
        ("energy_range: expected finite", |model| bounds(model)[6][0] = f64::NEG_INFINITY),
        ("energy_range: expected as many", |model| bounds(model).truncate(8)),
        ("vectors: expected 1 to 8 vectors", |model| model.vectors = 10),
        ("vectors: expected a number that is even", |model| model.vectors = 7),
        ("envelope_power: expected a power from 1 to 32, found 0", |model| {
            model.envelope = Envelope::Polynomial { power: 0 };
        }),
        ("blocks.1.update.epsilon: expected a positive number", |model| {
            *norm(model) = Norm::Shifted { epsilon: 0.0 };
        }),
        ("blocks.1.update.epsilon: expected a positive number", |model| {
            *norm(model) = Norm::Shifted { epsilon: 1e-20 };
        }),
        ("blocks.1.update: expected the norm of block 0, found root", |model| {
            *norm(model) = Norm::Root { epsilon: 0.1 };
        }),
    ];
    for (words, damage) in damages {
        let mut model = students::smooth(8, 2);
        damage(&mut model);
        let error = model.validate().unwrap_err();
        assert!(error.message().starts_with(words), "{error}");
    }
}

fn bounds(model: &mut Model) -> &mut Vec<[f64; 2]> {
    &mut model.energy_range.as_mut().unwrap().bounds
}

fn radii(model: &mut Model) -> &mut Vec<f64> {
    &mut model.repulsion.as_mut().unwrap().radii
}

fn norm(model: &mut Model) -> &mut Norm {
    let Update::Painn { norm, .. } = &mut model.blocks[1].update else { panic!("PaiNN") };
    norm
}

#[test]
fn descriptions_that_fit_no_student_are_refused_with_what_is_known() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    // Entry, its new value or none, and what the message must say.
    let changes = [
        ("envelope", Some("gaussian"), "envelope: expected cosine or polynomial, found gaussian"),
        ("envelope", Some("cosine"), "envelope_power: expected none"),
        ("envelope_power", None, "envelope_power: expected an entry, found none"),
        ("envelope_power", Some("-6"), "envelope_power: expected a number, found -6"),
        ("envelope_power", Some("33"), "envelope_power: expected a power from 1 to 32, found 33"),
        ("norm", Some("l2"), "norm: expected root or shifted, found l2"),
        ("norm", None, "norm: expected an entry, found none"),
    ];
    students::smooth(8, 2).save(&path).unwrap();
    let saved = safetensors::read(&fs::read(&path).unwrap()).unwrap();
    for (name, value, words) in changes {
        let mut changed = saved.clone();
        match value {
            Some(value) => changed.settings.insert(name.into(), value.into()),
            None => changed.settings.remove(name),
        };
        fs::write(&path, safetensors::write(&changed).unwrap()).unwrap();
        let error = Model::load(&path).unwrap_err();
        assert!(error.message().contains(words), "{error}");
    }
    students::random(Architecture::Published, 8, 2, &[]).save(&path).unwrap();
    let mut changed = safetensors::read(&fs::read(&path).unwrap()).unwrap();
    changed.settings.insert("norm".into(), "root".into());
    fs::write(&path, safetensors::write(&changed).unwrap()).unwrap();
    assert!(Model::load(&path).unwrap_err().message().contains("norm: expected none"));
}

#[test]
#[cfg_attr(not(reference_data), ignore = "needs ../shared/reference")]
fn a_model_that_is_damaged_is_not_saved() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    let good = load("student-21k.onnx");
    let damages: [fn(&mut Model); 9] = [
        |model| model.cutoff = 0.0,
        |model| model.hidden = 31,
        |model| model.species = vec![8, 1],
        |model| model.species = vec![1, 118],
        |model| model.head.clear(),
        |model| model.blocks.clear(),
        |model| model.embedding[3] = f64::NAN,
        |model| model.blocks[1].filter.layers[0].bias.truncate(5),
        |model| drop(model.metadata.insert("cutoff".into(), "7".into())),
    ];
    for damage in damages {
        let mut model = good.clone();
        damage(&mut model);
        assert!(model.save(&path).is_err());
        assert!(!path.exists());
    }
    let error = good.save(&folder.path().join("missing/model.safetensors")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io);
}

#[test]
fn state_dicts_in_safetensors_are_recognised() {
    let mut bag = bags::published(16, 2, 6);
    let plain = load_bag(&bag).unwrap();
    assert_eq!(plain.metadata[SOURCE_FORMAT], "safetensors/published");
    bag.settings.insert("format".into(), "pt".into());
    bag.settings.insert("author".into(), "somebody".into());
    let model = load_bag(&bag).unwrap();
    assert_eq!(model.metadata["author"], "somebody");
    assert!(!model.metadata.contains_key("format"));
    assert_eq!(model.blocks, plain.blocks);

    let painn = load_bag(&bags::schnetpack(48, 2, 6, false)).unwrap();
    assert_eq!(painn.metadata[SOURCE_FORMAT], "safetensors/schnetpack");
    assert_eq!((painn.architecture, painn.hidden), (Architecture::Painn, 48));
}

#[test]
fn prefixes_of_wrappers_are_stripped() {
    for bag in [bags::published(8, 2, 5), bags::schnetpack(8, 2, 5, false)] {
        let plain = content(load_bag(&bag).unwrap());
        for prefix in ["model.", "module.", "_orig_mod.", "module.model.", "model._orig_mod.net."] {
            let mut wrapped = Tensors::default();
            for (name, tensor) in &bag.tensors {
                wrapped.tensors.insert(format!("{prefix}{name}"), tensor.clone());
            }
            wrapped
                .tensors
                .insert("n_averaged".into(), Tensor { shape: vec![], values: vec![3.0] });
            assert_eq!(content(load_bag(&wrapped).unwrap()), plain, "{prefix}");
        }
    }
}

#[test]
fn schnetpack_rows_are_put_in_the_engines_order() {
    // File order (s, u, v_j), engine order (s, v_j, u).
    let hidden = 4;
    let bag = bags::schnetpack(hidden, 2, 3, false);
    let model = load_bag(&bag).unwrap();
    let values = |name: &str| &bag.tensors[name].values;
    let thirds = |values: &[f64]| -> Vec<Vec<f64>> {
        values.chunks(values.len() / 3).map(<[f64]>::to_vec).collect()
    };
    for (index, block) in model.blocks.iter().enumerate() {
        let check = |layer: &Linear, weight: &[f64], bias: &[f64]| {
            for (ours, theirs) in [(&layer.weight, weight), (&layer.bias, bias)] {
                let [ours, theirs] = [thirds(ours), thirds(theirs)];
                assert_eq!(ours[0], theirs[0]);
                assert_eq!(ours[1], theirs[2]);
                assert_eq!(ours[2], theirs[1]);
            }
        };
        let net = format!("representation.interactions.{index}.interatomic_context_net.1");
        let [weight, bias] = ["weight", "bias"].map(|part| values(&format!("{net}.{part}")));
        check(&block.sender.as_ref().unwrap().second, weight, bias);
        let rows = 3 * hidden * index..3 * hidden * (index + 1);
        check(
            &block.filter.layers[0],
            &values("representation.filter_net.weight")[3 * rows.start..3 * rows.end],
            &values("representation.filter_net.bias")[rows],
        );
        let Update::Painn { channel_mix, mlp, norm } = &block.update else { panic!("PaiNN") };
        assert_eq!(*norm, Norm::Root { epsilon: 1e-8 });
        let name = format!("representation.mixing.{index}.mu_channel_mix.weight");
        assert_eq!(&channel_mix.weight, values(&name));
        let name = format!("representation.mixing.{index}.intraatomic_context_net.1.weight");
        assert_eq!(&mlp.second.weight, values(&name));
    }
    assert_eq!(model.softening, 0.0);
    let Basis::Gaussian { exponents, .. } = &model.basis else { panic!("Gaussians") };
    let width = bag.tensors["representation.radial_basis.widths"].values[0];
    assert_eq!(exponents[0], 0.5 / (width * width));
}

#[test]
fn shared_filters_serve_every_block() {
    let model = load_bag(&bags::schnetpack(8, 3, 5, true)).unwrap();
    assert_eq!(model.blocks.len(), 3);
    assert_eq!(model.blocks[0].filter, model.blocks[2].filter);
    assert_ne!(model.blocks[0].sender, model.blocks[2].sender);
}

#[test]
fn schnetpack_heads_may_be_deep_and_named() {
    let mut bag = bags::schnetpack(8, 1, 5, false);
    let old: Vec<String> =
        bag.tensors.keys().filter(|n| n.starts_with("output_modules")).cloned().collect();
    old.iter().for_each(|name| drop(bag.tensors.remove(name)));
    for (index, (inputs, outputs)) in [(8, 6), (6, 6), (6, 1)].into_iter().enumerate() {
        bags::linear(&mut bag, &format!("output_modules.energy.outnet.{index}"), inputs, outputs);
    }
    let model = load_bag(&bag).unwrap();
    assert_eq!(model.head.iter().map(|layer| layer.outputs).collect::<Vec<_>>(), [6, 6, 1]);
    bags::linear(&mut bag, "output_modules.dipole.outnet.0", 8, 1);
    refused(load_bag(&bag), ErrorKind::Unsupported, &["dipole, energy", "expected one"]);
}

#[test]
fn schnetpack_offsets_become_reference_energies() {
    let bag = bags::schnetpack(8, 1, 5, false);
    let with = |entries: &[(&str, Vec<f64>)]| {
        let mut bag = bag.clone();
        for (name, values) in entries {
            let tensor = Tensor { shape: vec![values.len()], values: values.clone() };
            bag.tensors.insert(format!("postprocessors.{name}"), tensor);
        }
        load_bag(&bag)
    };
    let zeros = with(&[("0.mean", vec![0.0]), ("0.atomref", vec![0.0; 100])]).unwrap();
    assert_eq!(content(zeros), content(load_bag(&bag).unwrap()));

    let mut atomref = vec![0.0; 100];
    (atomref[1], atomref[8]) = (-13.5, -2041.0);
    let model = with(&[("1.mean", vec![-0.5]), ("1.atomref", atomref.clone())]).unwrap();
    assert_eq!(model.reference_energies[1], -14.0);
    assert_eq!(model.reference_energies[8], -2041.5);
    assert_eq!(model.reference_energies[6], -0.5);

    // A table that ends early ends the elements that can be evaluated.
    let model = with(&[("0.atomref", atomref[..10].to_vec())]).unwrap();
    assert_eq!(model.species, (1..=9).collect::<Vec<u8>>());

    let several = [("0.mean", vec![-0.5]), ("1.atomref", atomref)];
    refused(with(&several), ErrorKind::Unsupported, &["0, 1"]);
    refused(with(&[("0.scale", vec![2.0])]), ErrorKind::Format, &["postprocessors.0.scale"]);
}

#[test]
fn the_cutoff_comes_from_the_configuration_that_fits() {
    let mut bag = bags::published(8, 1, 5);
    let last = 4.0;
    assert_eq!(load_bag(&bag).unwrap().cutoff, last);
    // As far off as bfloat16 rounds.
    bag.settings.insert("config.model.cutoff".into(), "4.015".into());
    bag.settings.insert("config.data.cutoff".into(), "6.0".into());
    assert_eq!(load_bag(&bag).unwrap().cutoff, 4.015);
    bag.settings.insert("config.loader.cutoff".into(), "4.006".into());
    let two = ["config.loader.cutoff is 4.006 Å, but config.model.cutoff is 4.015 Å", "correct"];
    refused(load_bag(&bag), ErrorKind::Format, &two);
    bag.settings.remove("config.loader.cutoff");
    bag.settings.remove("config.model.cutoff");
    refused(load_bag(&bag), ErrorKind::Format, &["config.data.cutoff is 6 Å", "4 Å"]);
}

#[test]
fn shapes_win_over_a_configuration_and_a_note_says_so() {
    let mut bag = bags::published(8, 1, 5);
    bag.settings.insert("config.hidden_dim".into(), "64".into());
    bag.settings.insert("config.num_rbf".into(), "5".into());
    let model = load_bag(&bag).unwrap();
    assert_eq!(model.hidden, 8);
    assert_eq!(model.metadata["note"], "the file's config.hidden_dim is 64, its tensors have 8");
}

#[test]
fn unknown_missing_and_misfitting_tensors_are_named() {
    let bag = bags::published(8, 2, 5);
    let but = |change: &dyn Fn(&mut Tensors)| {
        let mut bag = bag.clone();
        change(&mut bag);
        load_bag(&bag)
    };
    let none = Tensor { shape: vec![1], values: vec![0.0] };

    let result = but(&|bag| drop(bag.tensors.insert("charge_head.0.weight".into(), none.clone())));
    refused(result, ErrorKind::Format, &["charge_head.0.weight", "published"]);
    for name in bag.tensors.keys() {
        let result = but(&|bag| drop(bag.tensors.remove(name)));
        // The last one reaches no output.
        if name == "interactions.1.update.mixing_matrix" {
            assert!(result.is_ok());
        } else {
            refused(result, ErrorKind::Format, &[&format!("{name} is missing")]);
        }
    }
    for name in bag.tensors.keys() {
        let result = but(&|bag| {
            let tensor = bag.tensors.get_mut(name).unwrap();
            tensor.shape[0] += 1;
            let row = tensor.values.len() / (tensor.shape[0] - 1);
            tensor.values.extend(vec![0.25; row]);
        });
        // Another element in the table is no damage.
        assert_eq!(result.is_ok(), name == "embedding.weight", "one more row in {name}");
    }
    let result = but(&|bag| {
        let bias = "interactions.0.update.update_mlp.0.bias";
        bag.tensors.insert(bias.into(), Tensor { shape: vec![7], values: vec![0.0; 7] });
    });
    refused(result, ErrorKind::Format, &["update_mlp.0.bias", "expected shape [8]", "found [7]"]);

    let mut other = Tensors::default();
    other.tensors.insert("conv1.weight".into(), none);
    refused(load_bag(&other), ErrorKind::Format, &["conv1.weight", "rbf.centers", "SchNetPack"]);
}

#[test]
fn two_networks_in_one_file_are_refused() {
    let mut bag = Tensors::default();
    for (name, tensor) in bags::published(8, 1, 5).tensors {
        bag.tensors.insert(format!("student.{name}"), tensor.clone());
        bag.tensors.insert(format!("teacher.{name}"), tensor);
    }
    refused(load_bag(&bag), ErrorKind::Format, &["student.", "teacher.", "expected one"]);
}

#[test]
fn numbers_that_are_not_finite_are_named_with_their_index() {
    for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let mut bag = bags::published(8, 2, 5);
        let name = "interactions.1.message.rbf_to_scalar.2.weight";
        bag.tensors.get_mut(name).unwrap().values[8 * 3 + 5] = value;
        refused(load_bag(&bag), ErrorKind::Numeric, &[name, "index [3, 5]"]);
    }
    let mut bag = bags::published(8, 2, 5);
    bag.tensors.get_mut("rbf.widths").unwrap().values[2] = 0.0;
    refused(load_bag(&bag), ErrorKind::Format, &["rbf.widths"]);
}

#[test]
fn files_that_are_no_models_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("missing.pt");
    refused(Model::load(&missing), ErrorKind::Io, &["missing.pt", "cannot be read"]);
    refused(Model::load(folder.path()), ErrorKind::Io, &["found a directory"]);
    refused(load_bytes(b""), ErrorKind::Format, &["an empty file"]);
    refused(load_bytes(b"hello, world"), ErrorKind::Format, &["68 65 6c 6c", "expected a model"]);
    refused(load_bytes(b"PK\x03\x04"), ErrorKind::Format, &["zip", "truncated"]);
    #[cfg(unix)]
    refused(Model::load(Path::new("/dev/zero")), ErrorKind::Io, &["device"]);
}

#[test]
#[cfg_attr(not(reference_data), ignore = "needs ../shared/reference")]
fn newer_files_of_this_project_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    load("student-21k.onnx").save(&path).unwrap();
    let file = safetensors::read(&fs::read(&path).unwrap()).unwrap();
    let with = |name: &str, text: &str| {
        let mut file = file.clone();
        file.settings.insert(name.into(), text.into());
        load_bag(&file)
    };
    refused(with("format_version", "3"), ErrorKind::Unsupported, &["3", "newer mlff-student"]);
    for (name, text) in [
        ("units", "bohr, hartree"),
        ("species", "H Xx"),
        ("species", ""),
        ("cutoff", "nan"),
        ("cutoff", "five"),
        ("hidden", "16"),
        ("blocks", "3"),
        ("blocks", "18446744073709551615"),
        ("basis", "bessel"),
        ("architecture", "painn"),
        ("envelope", "polynomial"),
    ] {
        assert!(with(name, text).is_err(), "{name} = {text}");
    }
}

#[test]
fn files_of_other_layouts_that_name_other_units_are_refused() {
    let with = |units: &str| {
        let mut file = bags::published(8, 1, 5);
        file.settings.insert("units".into(), units.into());
        load_bag(&file)
    };
    for fine in ["eV/Angstrom", "angstrom, electronvolt", "eV, Å", "eV"] {
        assert!(with(fine).is_ok(), "{fine}");
    }
    for other in ["kcal/mol", "nm, eV", "bohr, electronvolt", "kcal/mol (teacher: eV)"] {
        refused(with(other), ErrorKind::Unsupported, &[other, "convert"]);
    }
}

#[test]
fn damaged_safetensors_headers_are_refused() {
    let file = safetensors::write(&bags::published(8, 1, 5)).unwrap();
    let with_length = |length: u64| {
        let mut file = file.clone();
        file[..8].copy_from_slice(&length.to_le_bytes());
        load_bytes(&file)
    };
    for length in [0, 1, 7, file.len() as u64, u64::from(u32::MAX), u64::MAX, 1 << 63] {
        assert!(with_length(length).is_err(), "header of {length} bytes");
    }
    let with_header = |header: &str, data: usize| {
        let mut file = (header.len() as u64).to_le_bytes().to_vec();
        file.extend_from_slice(header.as_bytes());
        file.resize(file.len() + data, 0);
        load_bytes(&file)
    };
    let entry = |shape: &str, start: u64, end: u64| {
        format!(r#"{{"dtype":"F32","shape":{shape},"data_offsets":[{start},{end}]}}"#)
    };
    for (a, b, why) in [
        (entry("[2]", 0, 8), entry("[2]", 4, 12), "start at byte 8, found 4"),
        (entry("[2]", 0, 8), entry("[1]", 8, 1 << 40), "bytes of data, found 12"),
        (entry("[2]", 0, 8), entry("[1]", 9, 8), "start at byte 8"),
        (entry("[2]", 0, 8), entry("[2]", 8, 12), "expected 2 values"),
        (entry("[2]", 0, 8), entry("[4294967296,4294967296,16]", 8, 12), "any memory"),
        (entry("[2]", 0, 8), entry("[-1]", 8, 12), "header cannot be read"),
    ] {
        let header = format!(r#"{{"a":{a},"b":{b}}}"#);
        refused(with_header(&header, 12), ErrorKind::Format, &[why]);
    }
    refused(with_header(&"[".repeat(100_000), 0), ErrorKind::Format, &[]);
    refused(with_header(&format!("{{\"a\":{}", "[".repeat(100_000)), 0), ErrorKind::Format, &[]);
}
