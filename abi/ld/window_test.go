package ld

import (
	"bytes"
	"io"
	"math/rand/v2"
	"testing"
)

// TestWindowReadsAsTheFile compares reads through a window with those of the file itself, also where it ends early.
func TestWindowReadsAsTheFile(t *testing.T) {
	text := make([]byte, 5*pageSize+123)
	random := rand.New(rand.NewPCG(1, 2))
	for i := range text {
		text[i] = byte(random.Uint32())
	}
	for _, size := range []int64{int64(len(text)), int64(len(text)) + 2*pageSize, pageSize, 0} { // what stat said may be wrong by now
		file := bytes.NewReader(text)
		if size < int64(len(text)) {
			file = bytes.NewReader(text[:size])
		}
		w := newWindow(file, size)
		for range 5000 {
			offset, n := random.Int64N(int64(len(text))+3*pageSize), random.IntN(2*pageSize)
			got, want := make([]byte, n), make([]byte, n)
			gotN, gotErr := w.ReadAt(got, offset)
			wantN, wantErr := file.ReadAt(want, offset)
			if n == 0 { // the file's own answer differs behind its end
				continue
			}
			if gotN != wantN || !bytes.Equal(got, want) || gotErr != wantErr && (gotErr != nil && gotErr != io.EOF || gotN < n) {
				t.Fatalf("size %d, %d bytes at %d: %d, %v, not %d, %v", size, n, offset, gotN, gotErr, wantN, wantErr)
			}
		}
		windows.Put(w)
	}
}

// TestSymbolTableIsBounded: names that are made to share a slot are kept no more than its list may be long, and those that
// are kept are found.
func TestSymbolTableIsBounded(t *testing.T) {
	var table symbolTable
	here := &object{}
	ask := func(i int) *search {
		return &search{name: []byte{byte(i), byte(i >> 8)}, hash: uint32(len(table.slots)) * uint32(i)}
	}
	for i := range 10_000 {
		table.put(ask(i), here)
	}
	found := 0
	for i := range 10_000 {
		if o, ok := table.get(ask(i)); ok && o == here {
			found++
		}
	}
	if found != maxSlot {
		t.Errorf("%d are kept, want %d", found, maxSlot)
	}
	q := ask(1)
	q.version.name = "V1"
	if _, ok := table.get(q); ok {
		t.Error("another version is taken for the same")
	}
}
