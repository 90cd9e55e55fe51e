package server

import (
	"context"
	"time"
)

// Patterns are the routes, as "METHOD /path".
func (s *Server) Patterns() []string { return s.patterns }

// MemoryOfBodies is what bodies take now.
func (s *Server) MemoryOfBodies() int64 { return s.memory.used.Load() }

// EvictModels closes the models that nobody has used since a time.
func (s *Server) EvictModels(since time.Time) { s.models.evict(s.log, since) }

// RepeatSearches makes the searches again that were chosen so far.
func (s *Server) RepeatSearches(ctx context.Context) error {
	for {
		select {
		case x := <-s.recall.queue:
			if err := s.recall.repeat(ctx, x); err != nil {
				return err
			}
		default:
			return nil
		}
	}
}

// RepeatGivingWay makes one of them again as the background does.
func (s *Server) RepeatGivingWay(ctx context.Context) error {
	return s.recall.repeatGivingWay(ctx, <-s.recall.queue)
}
