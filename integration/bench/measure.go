package main

import (
	"fmt"
	"io"
	"time"
)

// A subject is one way to do the thing that is measured.
type subject struct {
	name   string
	note   string       // what differs from the others, for the reader
	before func() error // not measured; may be nil
	steps  []command    // measured one by one
	stays  bool         // what it starts is ended by before
}

// A result is what a subject's runs took.
type result struct {
	subject
	total sample   // all steps
	step  []sample // each
	clean sample   // all steps, and until their background processes have ended too
	kib   int64    // most memory that a process of it had resident
}

// warmups are the rounds that are not counted.
const warmups = 2

// measure runs the subjects in turn, A B A B, so that what else the machine does hits all of them alike.
func measure(rounds int, subjects []subject, daemons map[int]bool, progress io.Writer) ([]result, error) {
	results := make([]result, len(subjects))
	for i, s := range subjects {
		results[i] = result{subject: s, step: make([]sample, len(s.steps))}
	}
	for round := range warmups + rounds {
		for i := range results {
			if err := results[i].once(round >= warmups, daemons); err != nil {
				return nil, err
			}
		}
		fmt.Fprintf(progress, "\r  round %d of %d", round+1, warmups+rounds)
	}
	fmt.Fprintln(progress)
	return results, nil
}

func (r *result) once(counts bool, daemons map[int]bool) error {
	if r.before != nil {
		if err := r.before(); err != nil {
			return err
		}
	}
	begin := time.Now()
	var total, paused time.Duration
	for i, step := range r.steps {
		time.Sleep(step.pause)
		paused += step.pause
		took, _, kib, err := step.runWhole()
		if err != nil {
			return err
		}
		r.kib = max(r.kib, kib)
		total += took
		if counts {
			r.step[i].add(took)
		}
		looked, err := step.look()
		if err != nil {
			return fmt.Errorf("%s: %w", r.title(), err)
		}
		paused += looked
	}
	if !r.stays {
		if err := settle(daemons); err != nil {
			return err
		}
	}
	if counts {
		r.total.add(total)
		r.clean.add(time.Since(begin) - paused)
	}
	return nil
}

// look makes sure that the command did what it is measured for, and says how long that took.
func (c command) look() (time.Duration, error) {
	if c.after == nil {
		return 0, nil
	}
	begin := time.Now()
	err := c.after()
	return time.Since(begin), err
}
