// Package oracle holds no code but its test: NVIDIA's own generator of CDI files and ours describe the same machines. It is a module of
// its own, so that the generator and what it needs stay out of hostrun's.
package oracle
