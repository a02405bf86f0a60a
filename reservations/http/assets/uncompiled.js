"use strict";

// The viewer's validator compiles code from text as soon as it is loaded, which the content security policy forbids.
// Nothing is validated on this page, so what would be compiled is a function that finds nothing wrong.
window.Function = new Proxy(Function, { construct: () => () => () => true });
