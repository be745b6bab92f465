// This is not the library of that name, but what containerd's client needs of it, without regular expressions: see reference.go.
module github.com/distribution/reference

go 1.26.0

require (
	github.com/opencontainers/go-digest v1.0.0
	hostrun.dev/hostrun v0.0.0
)

replace hostrun.dev/hostrun => ../
