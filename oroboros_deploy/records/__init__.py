"""What is remembered of attempts, and what follows from it.  Pure: nothing here touches anything."""
