package ld

import "slices"

// sortObjects puts objects before what they depend on, as the loader does before it relocates: from the end. The way of
// sorting decides which of several faults is met first.
func (s *System) sortObjects(list []*object) []*object {
	if s.habits.minor >= 35 {
		return sortDepthFirst(list)
	}
	return sortByMoving(list)
}

// sortDepthFirst is _dl_sort_maps_dfs (elf/dl-sort-maps.c), the default since glibc 2.35.
func sortDepthFirst(list []*object) []*object {
	inList, visited := map[*object]bool{}, map[*object]bool{}
	for _, o := range list {
		inList[o] = true
	}
	var post []*object
	type frame struct {
		o    *object
		next int
	}
	for i := len(list) - 1; i >= 0; i-- {
		if visited[list[i]] {
			continue
		}
		visited[list[i]] = true
		stack := []frame{{list[i], 0}}
		for len(stack) > 0 {
			top := &stack[len(stack)-1]
			if top.next == len(top.o.direct) {
				post = append(post, top.o)
				stack = stack[:len(stack)-1]
				continue
			}
			dep := top.o.direct[top.next]
			top.next++
			if inList[dep] && !visited[dep] {
				visited[dep] = true
				stack = append(stack, frame{dep, 0})
			}
		}
	}
	slices.Reverse(post)
	if at := slices.Index(post, list[0]); at > 0 { // the opened object stays first
		post = slices.Insert(slices.Delete(post, at, at+1), 0, list[0])
	}
	return post
}

// sortByMoving is _dl_sort_maps_original: each object is moved behind the last one that depends on it.
func sortByMoving(list []*object) []*object {
	maps := slices.Clone(list)
	if len(maps) < 3 {
		return maps
	}
	rest := maps[1:]
	n := len(rest)
	seen := make([]int, n+1)
	for i := 0; i < n; {
		seen[i]++
		this := rest[i]
		k := n - 1
		for k > i && !slices.Contains(rest[k].direct, this) {
			k--
		}
		if k > i {
			copy(rest[i:k], rest[i+1:k+1])
			rest[k] = this
			if seen[i+1] <= n-i {
				count := seen[i]
				copy(seen[i:k], seen[i+1:k+1])
				seen[k] = count
				continue
			}
		}
		i++
		clear(seen[i:])
	}
	return maps
}
