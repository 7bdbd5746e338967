// What the server lets its pages load. Nothing inline.

export const CSP = "default-src 'self'; media-src 'self' blob:; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";
