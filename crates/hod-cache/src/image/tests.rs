//! Images against those that Spack made, and what becomes of them in mirrors.

mod base;
mod budget;
mod publish;
mod render;
mod shelf;
