//! What is wrong with an object that the API server admitted all the same.

/// An object breaks a rule of its own kind; only an older CRD, or none, lets that happen.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ApiError {
    /// A union holds none of its members, or several.
    #[error("{owner} has {found} of its {union} members, exactly one is needed")]
    NotOne {
        /// What owns the union, such as `step entities`.
        owner: String,
        /// The union, such as `engine`.
        union: &'static str,
        /// How many were set.
        found: usize,
    },
}

/// The one member of a union that is set.
pub(crate) fn exactly_one<T, const N: usize>(
    owner: &str,
    union: &'static str,
    members: [Option<T>; N],
) -> Result<T, ApiError> {
    let mut set: Vec<T> = members.into_iter().flatten().collect();
    match (set.pop(), set.len()) {
        (Some(one), 0) => Ok(one),
        (last, more) => Err(ApiError::NotOne {
            owner: owner.to_owned(),
            union,
            found: more + usize::from(last.is_some()),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn none_and_several_are_errors_that_say_how_many() {
        assert_eq!(exactly_one("x", "kind", [None, Some(7)]), Ok(7));
        let text =
            |members: [Option<i32>; 2]| exactly_one("step a", "action", members).unwrap_err().to_string();
        assert_eq!(text([None, None]), "step a has 0 of its action members, exactly one is needed");
        assert_eq!(text([Some(1), Some(2)]), "step a has 2 of its action members, exactly one is needed");
    }
}
