//! SessionScopes: the scope of each session that set one.

use std::collections::HashMap;

use parking_lot::Mutex;

use super::scope::ScopeInput;

/// Sessions whose scopes are kept; the one that was set longest ago is forgotten first.
const SESSIONS_MAX: usize = 1024;

/// The scopes of sessions, shared by all requests.
#[derive(Default)]
pub struct SessionScopes(Mutex<Scopes>);

#[derive(Default)]
struct Scopes {
    /// By session, with the number of the call that set it.
    by_session: HashMap<String, (u64, ScopeInput)>,
    calls: u64,
}

impl SessionScopes {
    pub fn get(&self, session: &str) -> Option<ScopeInput> {
        self.0.lock().by_session.get(session).map(|(_, scope)| scope.clone())
    }

    /// Sets the scope of `session`, or removes it.
    pub fn set(&self, session: &str, scope: Option<ScopeInput>) {
        let mut scopes = self.0.lock();
        scopes.calls += 1;
        let call = scopes.calls;
        let Some(scope) = scope else {
            scopes.by_session.remove(session);
            return;
        };
        scopes.by_session.insert(session.to_owned(), (call, scope));
        if scopes.by_session.len() > SESSIONS_MAX {
            let by_age = |(_, (call, _)): &(&String, &(u64, ScopeInput))| *call;
            let oldest = scopes.by_session.iter().min_by_key(by_age).map(|(id, _)| id.clone());
            oldest.map(|id| scopes.by_session.remove(&id));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_are_kept_apart_and_the_oldest_is_forgotten() {
        let scopes = SessionScopes::default();
        let scope = |n: usize| ScopeInput { globs: vec![format!("{n}/**")], ..Default::default() };
        for n in 0..=SESSIONS_MAX {
            scopes.set(&n.to_string(), Some(scope(n)));
        }
        assert_eq!(scopes.get("0"), None);
        assert_eq!(scopes.get("1"), Some(scope(1)));
        scopes.set("1", None);
        assert_eq!(scopes.get("1"), None);
        assert_eq!(scopes.0.lock().by_session.len(), SESSIONS_MAX - 1);
    }
}
