package ld

// A versionNeed is one library of DT_VERNEED and what is asked of it.
type versionNeed struct {
	file     string
	versions []neededVersion
}

type neededVersion struct {
	name string
	hash uint32
	weak bool
}

type definedVersion struct {
	name string
	hash uint32
}

// A symbolVersion is what an index of DT_VERSYM stands for (l_versions in glibc).
type symbolVersion struct {
	name   string
	hash   uint32 // 0: no version
	file   string // of DT_VERNEED; "" for the object's own
	hidden bool
}

// versionTables are DT_VERNEED and DT_VERDEF of one image.
type versionTables struct {
	needs   []versionNeed
	defs    []definedVersion
	defined bool // there is a DT_VERDEF
	index   []symbolVersion
}

const (
	verBase      = 1 // VER_FLG_BASE
	verWeak      = 2 // VER_FLG_WEAK
	versionIndex = 0x7fff
	versionHide  = 0x8000
)

func (i *image) readVersions() (*versionTables, *fault) {
	t := &versionTables{}
	left := maxVersions
	if at, ok := i.dynamic[dtVerneed]; ok {
		if f := i.readNeeds(t, at, &left); f != nil {
			return nil, f
		}
	}
	if at, ok := i.dynamic[dtVerdef]; ok {
		t.defined = true
		if f := i.readDefs(t, at, &left); f != nil {
			return nil, f
		}
	}
	return t, nil
}

func (i *image) readNeeds(t *versionTables, at uint64, left *int) *fault {
	for {
		b, f := i.at(at, 16)
		if f != nil {
			return f
		}
		if v := i.order.Uint16(b); v != 1 {
			return corrupt("unsupported version %d of Verneed record", v)
		}
		file, f := i.string(uint64(i.order.Uint32(b[4:])))
		if f != nil {
			return f
		}
		need := versionNeed{file: file}
		if f := i.readAux(t, &need, at+uint64(i.order.Uint32(b[8:])), left); f != nil {
			return f
		}
		t.needs = append(t.needs, need)
		next := uint64(i.order.Uint32(b[12:]))
		if next == 0 {
			return nil
		}
		at += next
	}
}

func (i *image) readAux(t *versionTables, need *versionNeed, at uint64, left *int) *fault {
	for {
		if *left--; *left < 0 {
			return crash("the version tables of the file have no end")
		}
		b, f := i.at(at, 16)
		if f != nil {
			return f
		}
		name, f := i.string(uint64(i.order.Uint32(b[8:])))
		if f != nil {
			return f
		}
		hash, flags, other := i.order.Uint32(b), i.order.Uint16(b[4:]), i.order.Uint16(b[6:])
		need.versions = append(need.versions, neededVersion{name, hash, flags&verWeak != 0})
		t.set(other&versionIndex, symbolVersion{name, hash, need.file, other&versionHide != 0})
		next := uint64(i.order.Uint32(b[12:]))
		if next == 0 {
			return nil
		}
		at += next
	}
}

func (i *image) readDefs(t *versionTables, at uint64, left *int) *fault {
	for {
		if *left--; *left < 0 {
			return crash("the version tables of the file have no end")
		}
		b, f := i.at(at, 20)
		if f != nil {
			return f
		}
		if v := i.order.Uint16(b); v != 1 {
			return corrupt("unsupported version %d of Verdef record", v)
		}
		flags, index, hash := i.order.Uint16(b[2:]), i.order.Uint16(b[4:]), i.order.Uint32(b[8:])
		aux, f := i.at(at+uint64(i.order.Uint32(b[12:])), 8)
		if f != nil {
			return f
		}
		name, f := i.string(uint64(i.order.Uint32(aux)))
		if f != nil {
			return f
		}
		t.defs = append(t.defs, definedVersion{name, hash})
		if flags&verBase == 0 {
			t.set(index&versionIndex, symbolVersion{name: name, hash: hash})
		}
		next := uint64(i.order.Uint32(b[16:]))
		if next == 0 {
			return nil
		}
		at += next
	}
}

func (t *versionTables) set(index uint16, v symbolVersion) {
	for len(t.index) <= int(index) {
		t.index = append(t.index, symbolVersion{})
	}
	t.index[index] = v
}

func (t *versionTables) at(index uint16) symbolVersion {
	if int(index) < len(t.index) {
		return t.index[index]
	}
	return symbolVersion{}
}

// defines reports whether a DT_VERDEF has the version.
func (t *versionTables) defines(name string, hash uint32) bool {
	for _, d := range t.defs {
		if d.hash == hash && d.name == name {
			return true
		}
	}
	return false
}
