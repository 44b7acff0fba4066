//! What Berth's own processes say to each other, versioned; generated types only.
