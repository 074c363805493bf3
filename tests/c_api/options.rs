//! Options by their names, and what C is told of an error beside its sentence.
#![allow(unsafe_code)]

use std::ffi::{CStr, CString, c_char};
use std::ptr::null;

use crate::support::c_calls::{Structure, new_calculator, sized_options};
use crate::support::root;
use mlff_student::c_api::*;
use mlff_student::engine::{OPTIONS, Values};

fn text(pointer: *const c_char) -> String {
    // SAFETY: the library gives C strings that live as long as it is loaded.
    unsafe { CStr::from_ptr(pointer) }.to_str().unwrap().to_owned()
}

fn described(index: u32) -> mlff_option_info {
    let mut info = mlff_option_info {
        struct_size: size_of::<mlff_option_info>() as u32,
        reserved: 0,
        name: null(),
        values: null(),
        default_value: null(),
        about: null(),
    };
    // SAFETY: a struct that says its size.
    assert_eq!(unsafe { mlff_options_describe(index, &mut info) }, MLFF_OK);
    info
}

fn get(options: &mlff_options, name: *const c_char) -> String {
    let mut word = [1; 32];
    // SAFETY: a struct, a C string, and room for 32 bytes.
    let status = unsafe { mlff_options_get(options, name, word.as_mut_ptr(), word.len() as u32) };
    assert_eq!(status, MLFF_OK);
    text(word.as_ptr())
}

#[test]
fn a_program_that_knows_no_option_lists_sets_and_reads_them_all() {
    let mut index = 0;
    while !described(index).name.is_null() {
        let info = described(index);
        assert_eq!(get(&sized_options(), info.name), text(info.default_value));
        assert!(!text(info.about).is_empty() && !text(info.about).ends_with('.'));
        let words = text(info.values).replace("cuda:N", "cuda:2").replace('N', "3");
        for word in words.split('|').filter(|&word| word != "cuda") {
            let (mut options, value) = (sized_options(), CString::new(word).unwrap());
            // SAFETY: a struct that says its size, and two C strings.
            let status = unsafe { mlff_options_set(&mut options, info.name, value.as_ptr()) };
            assert_eq!(status, MLFF_OK);
            assert_eq!(get(&options, info.name), word);
        }
        index += 1;
    }
    assert_eq!(index as usize, OPTIONS.len());
}

#[test]
fn the_headers_constants_are_the_numbers_of_the_words() {
    let header = std::fs::read_to_string(root().join("include/mlff_student.h")).unwrap();
    let mut compared = 0;
    for row in &OPTIONS {
        let Values::Choice { words, .. } = row.values else { continue };
        for (number, word) in words.iter().enumerate() {
            let constant = format!("MLFF_{}_{}", row.name, word[0]).to_uppercase();
            // Options that came later are set by their names alone.
            if header.contains(&format!("#define {constant} ")) {
                assert!(header.contains(&format!("#define {constant} {number}\n")), "{constant}");
                compared += 1;
            }
        }
    }
    assert!(compared >= 14, "{compared}");
}

#[test]
fn atoms_that_an_error_names_come_as_numbers_too() {
    let calculator =
        new_calculator(&root().join("models/organics-small.safetensors"), sized_options());
    let mut results = crate::support::c_calls::Found::zeros(3);
    let mut compute = |species: &[i32; 3], positions: &[[f64; 3]; 3]| {
        let structure = Structure { species, positions, cell: None, periodic: [false; 3] }.raw();
        let mut raw = results.results();
        let mut atoms = [-1; 4];
        // SAFETY: all arguments live through the calls.
        let (status, count) = unsafe {
            let status = mlff_calculator_compute_structure(calculator, &structure, &mut raw);
            (status, mlff_last_error_atoms(atoms.as_mut_ptr(), 4))
        };
        (status, atoms[..count as usize].to_vec())
    };
    let apart = [[0.0; 3], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]];
    let at_one_place = [apart[0], apart[1], apart[1]];
    assert_eq!(compute(&[8, 1, 1], &at_one_place), (MLFF_ERROR_NUMERIC, vec![1, 2]));
    let lost = [apart[0], apart[1], [f64::NAN; 3]];
    assert_eq!(compute(&[8, 1, 1], &lost), (MLFF_ERROR_NUMERIC, vec![2]));
    assert_eq!(compute(&[8, 118, 1], &apart), (MLFF_ERROR_SPECIES, vec![1]));
    // SAFETY: the calculator is not used again.
    unsafe { mlff_calculator_free(calculator) };
}
