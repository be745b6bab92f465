package imports

import (
	"maps"
	"sync"
)

// A table is a map for many at once. Unlike sync.Map it allocates nothing for a key that is looked up, and names are looked
// up by the hundred thousand.
type table[K comparable, V any] struct {
	mu sync.RWMutex
	m  map[K]V
}

func (t *table[K, V]) load(key K) (V, bool) {
	t.mu.RLock()
	v, ok := t.m[key]
	t.mu.RUnlock()
	return v, ok
}

// add keeps a value, and returns what is kept: that of the first who came.
func (t *table[K, V]) add(key K, value V) V {
	t.mu.Lock()
	defer t.mu.Unlock()
	if known, ok := t.m[key]; ok {
		return known
	}
	if t.m == nil {
		t.m = map[K]V{}
	}
	t.m[key] = value
	return value
}

// put keeps a value in the place of an older one.
func (t *table[K, V]) put(key K, value V) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.m == nil {
		t.m = map[K]V{}
	}
	t.m[key] = value
}

// all is a copy.
func (t *table[K, V]) all() map[K]V {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return maps.Clone(t.m)
}

func (t *table[K, V]) empty() bool {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return len(t.m) == 0
}
