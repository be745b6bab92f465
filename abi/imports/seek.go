package imports

import (
	"encoding/binary"
	"strings"
	"unsafe"
)

// A seeker finds words that may be telling in a function: those of tellingAnywhere but lambda, and modules, which only
// matters behind sys. It samples the text: of a word of six letters or more, one of the first four groups of three letters
// begins at a multiple of four.
type seeker struct{ long, sys, exec found }

// A found is the first of a kind from one place on.
type found struct{ from, at int }

// holds says that it is the first from another place on, too.
func (f found) holds(from int) bool { return f.from <= from && from <= f.at && f.at > 0 }

const (
	sampleBits = 13
	sampleStep = 4
)

// samples are hashes of the groups that long words begin with.
var samples = func() (table [1 << sampleBits]bool) {
	for word := range tellingAnywhere.words {
		for i := 0; i < sampleStep && len(word) >= sampleStep+2 && !besides(word); i++ {
			table[sample(binary.LittleEndian.Uint32([]byte(word[i:i+3]+"\x00")))] = true
		}
	}
	return table
}()

// besides are words that are found otherwise, or do not count.
func besides(word string) bool { return word == "lambda" || word == "modules" }

// sample hashes the three lower bytes.
func sample(text uint32) uint32 { return text << 8 * 0x9e3779b1 >> (32 - sampleBits) }

// next is the start of the first such word from a place on, the text's end if there is none.
func (s *seeker) next(src string, from int) int {
	if !s.long.holds(from) {
		s.long = found{from, nextLong(src, from)}
	}
	if !s.sys.holds(from) {
		s.sys = found{from, nextShort(src, from, "sys", 'y')}
	}
	if !s.exec.holds(from) {
		s.exec = found{from, nextShort(src, from, "exec", 'x')}
	}
	return min(s.long.at, s.sys.at, s.exec.at)
}

// nextShort finds a word that is word or, as _sys is, ends so. rare is its second letter.
func nextShort(src string, from int, word string, rare byte) int {
	for at := from; ; at++ {
		i := strings.IndexByte(src[at:], rare)
		if i < 0 {
			return len(src)
		}
		at += i
		if at == from || !strings.HasPrefix(src[at-1:], word) || wordEnd(src, at) != at-1+len(word) {
			continue
		}
		if start := wordStart(src, at); start >= from {
			return start
		}
	}
}

// nextLong finds a word by a sample of it.
func nextLong(src string, from int) int {
	text := unsafe.Slice(unsafe.StringData(src), len(src))
	at := from
	for {
		for ; at+4*sampleStep <= len(text); at += 4 * sampleStep {
			a, b := binary.LittleEndian.Uint64(text[at:]), binary.LittleEndian.Uint64(text[at+2*sampleStep:])
			if samples[sample(uint32(a))] || samples[sample(uint32(a>>32))] || samples[sample(uint32(b))] || samples[sample(uint32(b>>32))] {
				break
			}
		}
		for end := min(at+4*sampleStep, len(text)-2); ; at += sampleStep {
			if at >= len(text)-2 {
				return len(src)
			}
			if at >= end {
				break
			}
			if !samples[sample(uint32(text[at])|uint32(text[at+1])<<8|uint32(text[at+2])<<16)] {
				continue
			}
			start, stop := wordStart(src, at), wordEnd(src, at)
			if word := src[start:stop]; start >= from && len(word) >= sampleStep+2 && tellingAnywhere.may(word) && tellingAnywhere.words[word] && !besides(word) {
				return start
			}
			if stop > at+sampleStep {
				at = stop - sampleStep // none begins within
			}
		}
	}
}

// wordStart and wordEnd are the bounds of the name or number around a place.
func wordStart(src string, at int) int {
	for at > 0 && classes[src[at-1]]-byteName <= 1 {
		at--
	}
	return at
}

func wordEnd(src string, at int) int {
	for at < len(src) && classes[src[at]]-byteName <= 1 {
		at++
	}
	return at
}
