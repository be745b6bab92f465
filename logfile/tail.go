package logfile

import "os"

// A place is the start of an entry: an index into the reader's files, and an offset in that file.
type place struct {
	file   int
	offset int64
}

func (p place) before(q place) bool {
	return p.file < q.file || p.file == q.file && p.offset < q.offset
}

// reach bounds how far before the last wanted entry the beginnings of lines in parts are looked for, in bytes.
const reach = 1 << 20

// A tailer finds, going backward, where the last lines begin: for each stream, since its parts may lie between lines of
// the other.
type tailer struct {
	opt   ReadOptions
	left  int      // lines still wanted
	seen  [2]bool  // an entry of the stream was met
	took  [2]bool  // the line of the stream met last was counted
	done  [2]bool  // everything before belongs to lines that are not wanted
	from  [2]place // where the stream's wanted entries begin
	spent int64    // bytes gone back since left became 0
}

// tail returns for each stream where the last opt.Tail lines of files begin.
func tail(files []*os.File, opt ReadOptions) ([2]place, error) {
	if opt.Tail < 0 {
		return [2]place{}, nil
	}
	end, err := endOf(files)
	if err != nil || opt.Tail == 0 {
		return [2]place{end, end}, err
	}
	t := tailer{opt: opt, left: opt.Tail, from: [2]place{end, end}}
	for i := len(files) - 1; i >= 0; i-- {
		info, err := files[i].Stat()
		if err != nil {
			return t.from, err
		}
		prev := info.Size()
		more, err := backward(files[i], prev, func(head []byte, offset int64) bool {
			size := prev - offset
			prev = offset
			return t.visit(head, place{i, offset}, size)
		})
		if err != nil || !more {
			return t.from, err
		}
	}
	return t.from, nil
}

func endOf(files []*os.File) (place, error) {
	last := len(files) - 1
	info, err := files[last].Stat()
	if err != nil {
		return place{}, err
	}
	return place{last, info.Size()}, nil
}

// visit takes the entry at, size bytes long, into account, and reports whether earlier ones may be wanted too.
func (t *tailer) visit(head []byte, at place, size int64) bool {
	e, ok := parseEntry(head)
	s := e.Stream
	if t.left == 0 {
		if t.spent += size; t.spent > reach {
			return false
		}
	}
	switch {
	case t.done[s]:
	case e.Partial && t.seen[s]: // belongs to the line that was met before
		t.from[s] = at
		t.count(e, ok)
	case t.left == 0: // the end of a line that is one too many
		t.done[s] = true
	default:
		t.seen[s], t.took[s], t.from[s] = true, false, at
		t.count(e, ok)
	}
	// A stream without a wanted entry has nothing that could reach further back.
	return t.left > 0 || !(t.done[Stdout] || !t.seen[Stdout]) || !(t.done[Stderr] || !t.seen[Stderr])
}

// count counts the line that e is a part of, once, if any part lies in the range.
func (t *tailer) count(e Entry, ok bool) {
	if s := e.Stream; !t.took[s] && t.left > 0 && (!ok || t.opt.wants(e)) {
		t.took[s] = true
		t.left--
	}
}
