package server

import "net/http"

// alive says that the process answers.
func alive(q *request) error {
	q.json(http.StatusOK, map[string]string{"status": "ok"})
	return nil
}

// ready says whether requests should be sent here: not while draining, and not
// when the store takes no writes.
func ready(q *request) error {
	if q.s.draining.Load() {
		return errDraining
	}
	if err := q.s.db.Poisoned(); err != nil {
		return failf(http.StatusServiceUnavailable, "read_only", "the store answers searches and takes no writes until it is reopened")
	}
	q.json(http.StatusOK, map[string]string{"status": "ok"})
	return nil
}
