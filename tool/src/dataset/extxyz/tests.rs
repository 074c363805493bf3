use std::io::Cursor;

use super::{Frame, Reader};
use mlff_student::error::Result;

fn frames(text: &str) -> Result<Vec<Frame>> {
    let input = Cursor::new(text.as_bytes().to_vec());
    let mut reader = Reader::new("test.xyz".into(), Box::new(input), None);
    std::iter::from_fn(|| reader.next_frame().transpose()).collect()
}

fn one(text: &str) -> Frame {
    let mut frames = frames(text).unwrap();
    assert_eq!(frames.len(), 1);
    frames.remove(0)
}

fn refusal(text: &str) -> String {
    frames(text).err().expect("this should be refused").to_string()
}

const CUBE: [[f64; 3]; 3] = [[4.0, 0.0, 0.0], [0.0, 5.0, 0.0], [1.0, 0.0, 6.0]];

#[test]
fn plain_xyz_has_no_cell() {
    let frame = one("2\nwater's part, E = -1.5 eV\nO 0.0 1.5 -2e-1\nH 1 2 3 0.1 0.2 0.3 remark\n");
    assert_eq!(frame.species, [8, 1]);
    assert_eq!(frame.positions, [[0.0, 1.5, -0.2], [1.0, 2.0, 3.0]]);
    assert_eq!((frame.cell, frame.periodic), (None, [false; 3]));
}

#[test]
fn a_lattice_is_periodic_unless_pbc_says_otherwise() {
    let text = |rest: &str| format!("1\nLattice=\"4 0 0 0 5 0 1 0 6\"{rest}\nC 0 0 0\n");
    let frame = one(&text(""));
    assert_eq!((frame.cell, frame.periodic), (Some(CUBE), [true; 3]));
    for pbc in ["pbc=\"T T F\"", "pbc={T T F}", "pbc=[True, true, FALSE]", "pbc = \"1 1 0\""] {
        assert_eq!(one(&text(&format!(" {pbc}"))).periodic, [true, true, false], "{pbc}");
    }
    assert_eq!(one(&text(" pbc=F")).periodic, [false; 3]);
}

#[test]
fn columns_come_in_any_order() {
    let frame =
        one("2\nProperties=forces:R:3:Z:I:1:tag:L:1:pos:R:3:species:S:1:q:R:1 pbc=\"F F F\"\n\
         9 9 9 8 T 1 2 3 H 0.5\n9 9 9 1 F 4 5 6 O 0.5\n");
    assert_eq!(frame.species, [8, 1], "numbers count, not symbols");
    assert_eq!(frame.positions, [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]);
    assert_eq!(one("1\nProperties=pos:R:3:numbers:I:1\n1 2 3 6\n").species, [6]);
}

#[test]
fn elements_may_be_symbols_in_any_case_or_numbers() {
    let frame = one("4\n\nCL 0 0 0\ncl 0 0 1\n17 0 0 2\nCl 0 0 3\n");
    assert_eq!(frame.species, [17; 4]);
}

#[test]
fn values_may_be_quoted_in_every_way() {
    for quotes in ["\"\"", "''", "{}", "[]"] {
        let (open, close) = quotes.split_at(1);
        let text = format!(
            "1\ncomment=\"say \\\"Lattice=\\\"\" Lattice={open}4 0 0, 0 5 0, 1 0 6{close} x=a=b\nC 0 0 0\n"
        );
        assert_eq!(one(&text).cell, Some(CUBE), "{quotes}");
    }
}

#[test]
fn line_ends_exponents_and_blank_lines_of_all_kinds_are_read() {
    let frames =
        frames("1\r\nx\r\nH 1.0D+00 -2.5d-1 3E2\r\n\r\n0\n\n  1  \n\n He\t1 .5 5. \n\n\n").unwrap();
    assert_eq!(frames.len(), 3);
    assert_eq!(frames[0].positions, [[1.0, -0.25, 300.0]]);
    assert!(frames[1].positions.is_empty());
    assert_eq!((&frames[2].species[..], frames[2].positions[0]), (&[2][..], [1.0, 0.5, 5.0]));
    assert_eq!(frames[2].line, 7);
}

#[test]
fn broken_frames_name_file_frame_and_line() {
    let good = "1\n\nH 0 0 0\n";
    for (text, place, words) in [
        ("two\n\n", "frame 2, line 4", "number of atoms, found \"two\""),
        ("-1\n\n", "frame 2, line 4", "number of atoms"),
        ("2\n", "frame 2, line 4", "comment line, found the end"),
        (
            "2\n\nH 0 0 0\n",
            "frame 2, line 6",
            "expected 2 atoms, found the end of the file after 1",
        ),
        ("1\n\nH 0 0\n", "frame 2, line 6", "expected 4 columns"),
        ("1\n\nH 0 0 zero\n", "frame 2, line 6", "expected a coordinate"),
        ("1\n\nQq 0 0 0\n", "frame 2, line 6", "a chemical symbol, found \"Qq\""),
        ("1\n\nH1 0 0 0\n", "frame 2, line 6", "a chemical symbol"),
        ("1\nLattice=\"1 2 3\"\nH 0 0 0\n", "frame 2, line 5", "nine numbers"),
        ("1\nLattice=\"4 0 0 0 4 0 0 0 x\"\nH 0 0 0\n", "frame 2, line 5", "nine numbers"),
        ("1\npbc=\"T T\"\nH 0 0 0\n", "frame 2, line 5", "T and F"),
        ("1\nProperties=pos:R:3\n0 0 0\n", "frame 2, line 5", "species:S:1"),
        ("1\nProperties=species:S:1\nH\n", "frame 2, line 5", "pos:R:3"),
        ("1\nProperties=species:S:1:pos:R\nH 0 0 0\n", "frame 2, line 5", "three fields"),
        ("1\nProperties=species:S:1:pos:Q:3\nH 0 0 0\n", "frame 2, line 5", "unknown type"),
        (
            "1\nProperties=species:S:1:pos:R:3:pos:R:3\nH 0 0 0 1 0 0\n",
            "frame 2, line 5",
            "expected pos once",
        ),
        (
            "1\nProperties=species:S:1:pos:R:3:forces:R:3:forces:R:3\nH 0 0 0 1 0 0 1 0 0\n",
            "frame 2, line 5",
            "expected forces once",
        ),
        ("1\nProperties=species:S:1:pos:R:2\nH 0 0\n", "frame 2, line 5", "found pos:R:2"),
        ("1\nProperties=species:S:1:pos:R:0\nH 0 0\n", "frame 2, line 5", "number of columns"),
        (
            "1\nProperties=species:S:1:pos:R:3:Z:I:1\nH 0 0 0 H\n",
            "frame 2, line 6",
            "atomic number",
        ),
    ] {
        let message = refusal(&format!("{good}{text}"));
        assert!(message.starts_with(&format!("test.xyz, {place}: ")), "{text:?}: {message}");
        assert!(message.contains(words), "{text:?}: {message}");
    }
    for nothing in ["", "\n \n"] {
        assert!(refusal(nothing).contains("test.xyz: expected structures"), "{nothing:?}");
    }
}

#[test]
fn a_wrong_number_of_atoms_takes_no_memory() {
    assert!(refusal("99999999999999\n\nH 0 0 0\n").contains("after 1"));
}
