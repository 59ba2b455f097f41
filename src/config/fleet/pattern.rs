//! Name patterns: `a[01-12]` stands for a01 … a12.

/// The names that a pattern stands for; the pattern itself where it has no brackets.
pub fn expand(pattern: &str) -> Result<Vec<String>, String> {
    let Some((prefix, rest)) = pattern.split_once('[') else {
        return Ok(vec![pattern.to_owned()]);
    };
    let wrong = || format!("`{pattern}` is no pattern such as a[01-12]");
    let (range, suffix) = rest.split_once(']').ok_or_else(wrong)?;
    let (first, last) = range.split_once('-').ok_or_else(wrong)?;
    let width = first.len();
    let number = |text: &str| text.parse::<u32>().ok();
    let (Some(from), Some(to)) = (number(first), number(last)) else {
        return Err(wrong());
    };
    if from > to || to - from >= 10_000 {
        return Err(format!(
            "`{pattern}` must count upwards, over at most 10,000 names"
        ));
    }
    Ok((from..=to)
        .map(|number| format!("{prefix}{number:0width$}{suffix}"))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brackets_count_with_leading_zeros() {
        assert_eq!(expand("a[08-10]").unwrap(), ["a08", "a09", "a10"]);
        assert_eq!(expand("r[1-2]-x").unwrap(), ["r1-x", "r2-x"]);
        assert_eq!(expand("lone").unwrap(), ["lone"]);
        assert!(expand("a[3-1]").is_err());
        assert!(expand("a[x]").is_err());
    }
}
