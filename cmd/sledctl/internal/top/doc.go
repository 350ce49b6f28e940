// Package top is the model behind "sledctl top": what is shown and what keys do. It is pure: Step
// takes an event and returns the next model with what is to be done, Lines returns the screen.
// Package cli does it: it asks the agent and owns the terminal. What rows and headers look like
// is in package view.
package top
