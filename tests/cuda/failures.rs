//! What goes wrong on a GPU is an error of the C API with a reason: the process lives, and outputs
//! stay as they were. The shim fails where it is told to, with the driver's numbers.

use crate::support::alone::alone;
use crate::support::{c_calls, shim, students};
use std::ffi::CStr;
use std::path::Path;
use std::ptr::{null, null_mut};

use crate::support::c_calls::{Found, sized_options, try_new_calculator};
use crate::support::shim::fails;
use mlff_student::c_api::*;
use mlff_student::model::Architecture;

/// Five atoms in a row.
const POSITIONS: [[f64; 3]; 5] =
    [[0.0; 3], [1.0, 0.0, 0.0], [2.0, 0.1, 0.0], [3.0, 0.0, 0.2], [4.1, 0.0, 0.0]];
const SPECIES: [i32; 5] = [8, 1, 6, 1, 8];

/// Status and message of a call.
type Said = (mlff_status, String);

#[allow(unsafe_code)]
fn said(status: mlff_status) -> Said {
    // SAFETY: a C string of this thread.
    let message = unsafe { CStr::from_ptr(mlff_last_error()) };
    (status, message.to_string_lossy().into_owned())
}

fn gpu(file: &Path, index: i32) -> Result<*mut mlff_calculator, Said> {
    let options = mlff_options { device: MLFF_DEVICE_CUDA, device_index: index, ..sized_options() };
    try_new_calculator(file, options).map_err(said)
}

/// Results, or what was said; in the latter case nothing was written.
fn outcome(compute: impl FnOnce(*mut mlff_results) -> mlff_status) -> Result<Found, Said> {
    let mut found = Found {
        energy: 7.0,
        virial: [7.0; 9],
        stress: [7.0; 9],
        atomic_energies: vec![7.0; 5],
        forces: vec![[7.0; 3]; 5],
        atomic_virials: vec![[7.0; 9]; 5],
        check: [0; 2],
    };
    let mut results =
        mlff_results { energy: 7.0, virial: [7.0; 9], stress: [7.0; 9], ..found.results() };
    let status = compute(&mut results);
    found.take(&results);
    if status == MLFF_OK {
        return Ok(found);
    }
    let arrays = found.atomic_energies.iter().chain(found.forces.as_flattened());
    let all = arrays.chain(found.atomic_virials.as_flattened()).chain(&found.virial);
    assert!(found.energy == 7.0 && all.chain(&found.stress).all(|&x| x == 7.0), "outputs changed");
    Err(said(status))
}

#[allow(unsafe_code)]
fn structure(
    calculator: *mut mlff_calculator,
    positions: &[[f64; 3]; 5],
    cell: Option<&[[f64; 3]; 3]>,
) -> Result<Found, Said> {
    let periodic = [cell.is_some(); 3];
    let structure = c_calls::Structure { species: &SPECIES, positions, cell, periodic }.raw();
    // SAFETY: all arguments live through the call.
    outcome(|results| unsafe { mlff_calculator_compute_structure(calculator, &structure, results) })
}

/// With a list of all pairs.
#[allow(unsafe_code)]
fn listed(calculator: *mut mlff_calculator, positions: &[[f64; 3]; 5]) -> Result<Found, Said> {
    let lists: [[i32; 4]; 5] = std::array::from_fn(|i| {
        std::array::from_fn(|k| if k < i { k as i32 } else { k as i32 + 1 })
    });
    let firsts = lists.each_ref().map(|list| list.as_ptr());
    let list = mlff_neighbor_list {
        struct_size: size_of::<mlff_neighbor_list>() as u32,
        owned: 5,
        ghosts: 0,
        centers: 5,
        species: SPECIES.as_ptr(),
        ilist: [0, 1, 2, 3, 4].as_ptr(),
        numneigh: [4; 5].as_ptr(),
        firstneigh: firsts.as_ptr(),
        owner: null(),
        list_cutoff: 5.0,
        neighbor_mask: 0,
        reserved: 0,
    };
    // SAFETY: all arguments live through the calls.
    outcome(|results| unsafe {
        match mlff_calculator_set_neighbor_list(calculator, &list) {
            MLFF_OK => mlff_calculator_compute(
                calculator,
                positions.as_ptr().cast(),
                None,
                null_mut(),
                results,
            ),
            status => status,
        }
    })
}

#[allow(unsafe_code)]
fn free(calculator: *mut mlff_calculator) {
    // SAFETY: one of these tests' own, and not used any more.
    unsafe { mlff_calculator_free(calculator) };
}

#[track_caller]
fn assert_said<T: std::fmt::Debug>(found: Result<T, Said>, status: mlff_status, words: &[&str]) {
    let (found, message) = found.expect_err("this fails");
    assert_eq!(found, status, "{message}");
    for word in words {
        assert!(message.contains(word), "no {word} in: {message}");
    }
}

// One test: what fails is told to the process, and a lost GPU stays lost.
#[test]
fn failures_of_a_gpu_are_errors_with_a_reason_and_the_process_lives() {
    if !alone("failures::failures_of_a_gpu_are_errors_with_a_reason_and_the_process_lives") {
        return;
    }
    shim::instead_of_a_gpu();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("model.safetensors");
    students::random(Architecture::Painn, 32, 2, &[16]).save(&file).unwrap();
    let file = file.as_path();

    // Nothing to run on.
    assert_said(gpu(file, 2), MLFF_ERROR_NO_DEVICE, &["number 0 to 1", "found 2"]);
    fails("open=100");
    assert_said(gpu(file, 0), MLFF_ERROR_NO_DEVICE, &["GPU 0", "error 100", "device cpu"]);
    fails("open=3");
    assert_said(gpu(file, 0), MLFF_ERROR_STATE, &["GPU 0", "error 3", "forked", "spawn"]);
    fails("driver=11040");
    assert_said(gpu(file, 0), MLFF_ERROR_UNSUPPORTED, &["R525", "CUDA 11.4", "newer driver"]);
    fails("compile=222");
    let calculator = gpu(file, 0).unwrap();
    assert_said(
        structure(calculator, &POSITIONS, None),
        MLFF_ERROR_UNSUPPORTED,
        &["kernel write_pairs", "error 222", "R525"],
    );
    free(calculator);

    // Layers that no block of threads of a GPU as old as Turing can hold.
    let wide = folder.path().join("wide.safetensors");
    students::random(Architecture::Published, 320, 1, &[16]).save(&wide).unwrap();
    fails("shared=65536");
    let words = ["65536 bytes of shared memory", "320 channels", "69760", "device cpu"];
    assert_said(gpu(&wide, 0), MLFF_ERROR_UNSUPPORTED, &words);
    free(gpu(file, 0).unwrap());
    fails("");
    free(gpu(&wide, 0).unwrap());

    // Memory: the model alone is too large, or the arrays of its atoms.
    fails("memory=1000");
    assert_said(gpu(file, 0), MLFF_ERROR_MEMORY, &["GPU 0 has no", "MiB"]);
    fails("");
    let calculator = gpu(file, 0).unwrap();
    let model = c_calls::info(calculator).memory;
    free(calculator);
    fails(&format!("memory={}", model + 4000));
    let calculator = gpu(file, 0).unwrap();
    for computed in [structure(calculator, &POSITIONS, None), listed(calculator, &POSITIONS)] {
        assert_said(
            computed,
            MLFF_ERROR_MEMORY,
            &["5 atoms", "MiB on the GPU in all", "fewer atoms"],
        );
    }
    free(calculator);

    // Positions that are none, found on the device.
    fails("");
    let calculator = gpu(file, 0).unwrap();
    let cell = [[9.0, 0.0, 0.0], [1.0, 9.0, 0.0], [0.0, 0.0, 9.0]];
    let sound = structure(calculator, &POSITIONS, Some(&cell)).unwrap();
    let alone = listed(calculator, &POSITIONS).unwrap();
    for bad in [f64::NAN, f64::INFINITY] {
        let mut positions = POSITIONS;
        positions[3][1] = bad;
        for computed in [
            structure(calculator, &positions, None),
            structure(calculator, &positions, Some(&cell)),
            listed(calculator, &positions),
        ] {
            assert_said(computed, MLFF_ERROR_NUMERIC, &["atom 3"]);
        }
        let again = structure(calculator, &POSITIONS, Some(&cell)).unwrap();
        assert_eq!(again.forces, sound.forces);
        assert_eq!(listed(calculator, &POSITIONS).unwrap().forces, alone.forces);
    }

    // A forked process has no GPU.
    // SAFETY: the child calls no more than this and ends without unwinding.
    #[allow(unsafe_code)]
    unsafe {
        let child = libc::fork();
        if child == 0 {
            let refused = structure(calculator, &POSITIONS, None).is_err_and(|(status, why)| {
                status == MLFF_ERROR_STATE && why.contains("GPU 0 stayed with the process")
            });
            libc::_exit(if refused { 17 } else { 1 });
        }
        let mut status = 0;
        assert_eq!(libc::waitpid(child, &mut status, 0), child);
        assert!(libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 17, "{status:#x}");
    }

    // An error that leaves the GPU as it was.
    fails("sums=701");
    let other = gpu(file, 1).unwrap();
    assert_said(listed(other, &POSITIONS), MLFF_ERROR_INTERNAL, &["GPU 1", "sums", "error 701"]);
    structure(other, &POSITIONS, None).unwrap();

    // One that does not: nobody in this process can use that GPU any more.
    fails("reverse_painn=700");
    let failing = gpu(file, 1).unwrap();
    assert_said(
        listed(failing, &POSITIONS),
        MLFF_ERROR_DEVICE_LOST,
        &["GPU 1", "reverse_painn", "error 700", "process is started again"],
    );
    fails("");
    for lost in [failing, other] {
        let words = ["GPU 1 was lost", "reverse_painn", "process is started again"];
        assert_said(structure(lost, &POSITIONS, None), MLFF_ERROR_DEVICE_LOST, &words);
        assert_said(listed(lost, &POSITIONS), MLFF_ERROR_DEVICE_LOST, &words);
        free(lost);
    }
    assert_said(gpu(file, 1), MLFF_ERROR_DEVICE_LOST, &["GPU 1 was lost"]);
    // The other GPU is as it was.
    assert_eq!(listed(calculator, &POSITIONS).unwrap().forces, alone.forces);
    free(calculator);
    free(gpu(file, 0).unwrap());
}
