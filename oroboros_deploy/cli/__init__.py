"""What people at the control node see: live lines, tables and the last words."""
