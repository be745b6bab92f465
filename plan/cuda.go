package plan

// cudaPath is where programs look for the toolkit.
const cudaPath = "/usr/local/cuda"

func (b *builder) addCUDA() {}
