//! stand-in
pub struct SimFs;
pub struct FaultPlan;
pub enum CrashMode {}
pub enum OpKind {}
