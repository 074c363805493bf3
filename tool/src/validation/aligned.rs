//! Markdown for a terminal: tables whose columns stand below each other, headings without marks.

/// `markdown`, for reading as it is.
pub fn aligned(markdown: &str) -> String {
    let mut text = String::new();
    let mut table: Vec<Vec<&str>> = Vec::new();
    for line in markdown.lines() {
        if let Some(row) = line.strip_prefix('|') {
            table.push(cells(row));
            continue;
        }
        write_table(&mut text, &mut table);
        text += line.trim_start_matches('#').trim_start_matches(' ');
        text.push('\n');
    }
    write_table(&mut text, &mut table);
    text
}

/// Between bars that are not part of a name (`\|`).
fn cells(row: &str) -> Vec<&str> {
    let mut cells = Vec::new();
    let (mut start, mut before) = (0, ' ');
    for (at, letter) in row.char_indices() {
        if letter == '|' && before != '\\' {
            cells.push(row[start..at].trim());
            start = at + 1;
        }
        before = letter;
    }
    cells
}

fn write_table(text: &mut String, table: &mut Vec<Vec<&str>>) {
    let is_rule = |row: &Vec<&str>| row.iter().all(|cell| cell.starts_with("--"));
    let to_the_right: Vec<bool> = table
        .iter()
        .find(|row| is_rule(row))
        .map(|row| row.iter().map(|cell| cell.ends_with(':')).collect())
        .unwrap_or_default();
    table.retain(|row| !is_rule(row));
    let columns = table.iter().map(Vec::len).max().unwrap_or(0);
    let shown = |cell: &str| cell.replace("\\|", "|");
    let width = |column: usize| {
        let widths = table.iter().filter_map(|row| row.get(column));
        widths.map(|cell| shown(cell).chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    for row in table.drain(..) {
        let mut line = String::new();
        for (column, cell) in row.iter().enumerate() {
            let (cell, width) = (shown(cell), widths[column]);
            line += &match to_the_right.get(column) {
                Some(true) => format!("  {cell:>width$}"),
                _ => format!("  {cell:<width$}"),
            };
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use super::aligned;

    #[test]
    fn columns_stand_below_each_other_and_marks_are_gone() {
        let markdown = "## By kind\n\n| kind | frames |\n| --- | --: |\n| a\\|b | 7 |\n\
                        | trajectory | 1200 |\nend\n";
        let expected =
            "By kind\n\n  kind        frames\n  a|b              7\n  trajectory    1200\nend\n";
        assert_eq!(aligned(markdown), expected);
    }
}
