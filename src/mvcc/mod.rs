//! Who may see what, and when: protocols without bytes, paths or clocks.
