//! By which way a request came in: what it takes to write URLs that its client can follow.

/// One request's. The listener knows the scheme, a proxy in front may know better.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entrance {
    /// `http` or `https`.
    pub scheme: &'static str,
    /// The path beneath which a proxy serves us, which is cut off before requests reach us: `/registry`, or nothing.
    pub prefix: String,
}

impl Entrance {
    /// The URL that everything of ours is beneath, at the host (and port) by which the client knows us.
    ///
    /// ```
    /// let entrance = auth::Entrance { scheme: "https", prefix: "/azure".to_owned() };
    /// assert_eq!(entrance.base("reg.example:8443"), "https://reg.example:8443/azure");
    /// ```
    #[must_use]
    pub fn base(&self, host: &str) -> String {
        format!("{}://{host}{}", self.scheme, self.prefix)
    }
}

impl Default for Entrance {
    fn default() -> Self {
        Self { scheme: "http", prefix: String::new() }
    }
}
